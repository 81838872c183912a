"""What the processes of one case share: the case, and memory that shows where the work is."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from onnx_debug.data.progress import Progress
from onnx_debug.data.stage import Stage
from onnx_debug.request.case import Case

_SIZE = 16_384


class SharedProgress(Progress):
    """Where the process at work is. It writes, whoever watches it reads; a reader may see a torn write and then looks again.

    Between `restart` and the first stage, and after `finish`, only code of onnx_debug runs: what
    happens then is not the model's fault.
    """

    def __init__(self) -> None:
        self._memory, self._stage, self._stack = mmap.mmap(-1, _SIZE), "", ""

    def restart(self) -> None:
        """Another process begins."""
        self._memory[:4] = bytes(4)

    def finish(self) -> None:
        """The last stage is over."""
        self._stage = self._stack = ""
        self._write()

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
class Shared:
    """Made in the user's process and inherited by all its forks.

    Attributes:
        case: the export to work on.
        directory: takes all files.
        memory_limit: bytes that a process may take beyond what it inherits; None: no limit.
        threads: that torch computes with in the user's process.
        slowdown: how much longer a run of the model may take, because forks have fewer threads.
        progress: of the process that is watched, one at a time.
    """

    case: Case
    directory: Path
    memory_limit: int | None
    threads: int
    slowdown: int = 1
    progress: SharedProgress = field(default_factory=SharedProgress)

    @property
    def room(self) -> int | None:
        """Bytes that a recorder may keep of what passes between the modules; None: no limit."""
        return self.memory_limit and self.memory_limit // 4
