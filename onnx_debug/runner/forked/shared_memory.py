"""What the processes of one case share: the case, and memory that shows who is alive, who wants to stop, and where the work is."""

from __future__ import annotations

import mmap
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from onnx_debug.data.outcome import Stage
from onnx_debug.data.progress import Progress
from onnx_debug.request.case import Case

_SIZE = 16_384
_BEAT, _PAUSE = slice(0, 8), slice(8, 16)


class Signals:
    """Moments that one process notes and another one reads: the last sign of life of the fork server, and the user's wish to stop."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def beat(self) -> None:
        """Show that the fork server is alive and at work."""
        self._note(_BEAT, time.monotonic_ns())

    @property
    def silence(self) -> float:
        """Seconds since the last beat."""
        return self._age(_BEAT)

    def pause(self) -> None:
        """Ask that the question under way is given up, and that no other is begun."""
        self._note(_PAUSE, time.monotonic_ns())

    def resume(self) -> None:
        """Take that back."""
        self._note(_PAUSE, 0)

    @property
    def pausing(self) -> float:
        """Seconds since `pause`; 0 when nobody asked for one."""
        return self._age(_PAUSE) if any(self._memory[_PAUSE]) else 0.0

    def _note(self, place: slice, moment: int) -> None:
        self._memory[place] = moment.to_bytes(8, "little")

    def _age(self, place: slice) -> float:
        return (time.monotonic_ns() - int.from_bytes(self._memory[place], "little")) / 1e9


class SharedProgress(Progress):
    """Where the process at work is. It writes, whoever watches it reads; a reader may see a torn write and then looks again."""

    def __init__(self) -> None:
        self._memory, self._stage, self._stack = mmap.mmap(-1, _SIZE), "", ""

    def restart(self) -> None:
        """Another process begins."""
        self._memory[:4] = bytes(4)

    def stage(self, stage: Stage) -> None:
        """A stage begins."""
        self._stage = stage
        self._write()

    def modules(self, stack: Sequence[str]) -> None:
        """The running modules changed; outermost first."""
        self._stack = "\n".join(stack)
        self._write()

    def _write(self) -> None:
        text = f"{self._stage}\n{self._stack}".encode()[: _SIZE - 4]
        self._memory[:4] = len(text).to_bytes(4, "little")
        self._memory[4 : 4 + len(text)] = text

    def read(self) -> tuple[Stage | None, list[str]]:
        """The stage and the running modules, outermost first."""
        size = int.from_bytes(self._memory[:4], "little")
        stage, _, stack = (
            self._memory[4 : 4 + min(size, _SIZE - 4)].decode(errors="replace").partition("\n")
        )
        try:
            return Stage(stage), stack.split("\n") if stack or stage == Stage.EAGER else []
        except ValueError:
            return None, []


@dataclass(frozen=True)
class Setting:
    """Made in the user's process and inherited by all its forks.

    Attributes:
        case: the export to work on.
        directory: takes all files.
        memory_limit: bytes that a process may take beyond what it inherits; None: no limit.
        signals: between the user's process and the fork server.
        progress: of the process that is watched, one at a time.
    """

    case: Case
    directory: Path
    memory_limit: int | None
    signals: Signals = field(default_factory=Signals)
    progress: SharedProgress = field(default_factory=SharedProgress)
