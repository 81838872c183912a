"""One line that says what the search is doing: what is being tried, how many trials, how long."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

from onnx_debug.events import CulpritFound, Event, Started, TrialStarted


class Progress:
    """Turns the session's events into that line. Give it to `diagnose` as `on_event`.

    Args:
        write: shows a line in place of the last one; an empty line clears it.
        clock: seconds, rising.
    """

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._began = clock()
        self._modules = 0
        self._culprits: list[str] = []

    def __call__(self, event: Event) -> None:
        """Show what this event says."""
        if isinstance(event, Started):
            self._modules = event.modules
            self._write(f"onnx_debug: recording {self._modules} modules")
        elif isinstance(event, CulpritFound):
            self._culprits.append(event.culprit.fqn or "the whole model")
        elif isinstance(event, TrialStarted):
            self._write(self._line(event))

    def clear(self) -> None:
        """Leave nothing behind."""
        self._write("")

    def _line(self, event: TrialStarted) -> str:
        found = f" · found {', '.join(self._culprits[:2])}{' …' if len(self._culprits) > 2 else ''}" if self._culprits else ""
        what = event.trial.module or "the whole model"
        return f"onnx_debug: trial {event.number}, {self._clock() - self._began:.0f} s · {what}: {event.why}{found}"


def terminal_writer(stream: TextIO | None = None) -> Callable[[str], None]:
    """Overwrites one line of a terminal; writes nothing where there is no terminal."""
    stream = stream or sys.stderr

    def write(line: str) -> None:
        if stream.isatty():
            width = shutil.get_terminal_size().columns - 1
            stream.write("\r\x1b[K" + line[:width])
            stream.flush()

    return write
