"""One line that says what the search is doing: what is being tried, how many trials, how long."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import Self, TextIO

from onnx_debug.data.events import CulpritFound, Event, Started, TrialStarted


class Progress:
    """Turns the session's events into that line. Give it to `diagnose` as `on_event`; leaving it as a context clears the line.

    Args:
        write: shows a line in place of the last one; an empty line clears it.
        clock: seconds, rising.
    """

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._began = clock()
        self._culprits = 0

    def __enter__(self) -> Self:
        self._write("onnx_debug: loading the exporter and running the model")
        return self

    def __exit__(self, *error: object) -> None:
        self._write("")

    def __call__(self, event: Event) -> None:
        """Show what this event says."""
        if isinstance(event, Started):
            self._write(f"onnx_debug: {event.modules} modules recorded")
        elif isinstance(event, CulpritFound):
            self._culprits += 1
        elif isinstance(event, TrialStarted):
            self._write(self._line(event))

    def _line(self, event: TrialStarted) -> str:
        parts = [
            f"onnx_debug: trial {event.number}",
            f"{self._clock() - self._began:.0f} s",
            event.why,
        ]
        if self._culprits:
            parts.append(f"{self._culprits} found")
        return " · ".join(parts)


def terminal_writer(stream: TextIO | None = None) -> Callable[[str], None]:
    """Overwrites one line of a terminal; a log, which is no terminal, gets a line for each."""
    stream = stream or sys.stderr

    def write(line: str) -> None:
        if stream.isatty():
            width = shutil.get_terminal_size().columns - 1
            stream.write("\r\x1b[K" + line[:width])
        elif line:
            stream.write(f"{line}\n")
        stream.flush()

    return write
