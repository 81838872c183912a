"""Watching a trial from outside: where it is, whether it still answers, and what it was doing when it died.

The trial writes the stage and its running modules into a few kilobytes of shared memory; the watcher reads them.
"""

from __future__ import annotations

import contextlib
import faulthandler
import mmap
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from onnx_debug import clues
from onnx_debug.outcome import Clue, ClueKind, Failure, Mode, Stage, signature
from onnx_debug.processes import Child
from onnx_debug.target import Progress

_SIZE = 16_384
_TICK = 0.05  # seconds between two looks
_DUMP = "stack.txt"
_SHARE = 0.6  # of the looks that must find a module running to call it the one that hangs


@dataclass(frozen=True)
class Death:
    """A process that did not answer.

    Attributes:
        mode: crash, timeout or memory.
        words: what happened.
    """

    mode: Mode
    words: str


class _SharedProgress(Progress):
    """Writes where the trial is; a reader may see a torn write and then looks again."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory, self._stage, self._stack = memory, "", ""

    def stage(self, stage: Stage) -> None:
        self._stage = stage
        self._write()

    def modules(self, stack: Sequence[str]) -> None:
        self._stack = "\n".join(stack)
        self._write()

    def _write(self) -> None:
        text = f"{self._stage}\n{self._stack}".encode()[: _SIZE - 4]
        self._memory[:4] = len(text).to_bytes(4, "little")
        self._memory[4 : 4 + len(text)] = text


class Watch:
    """Watches one process. `progress` is to be used inside it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._memory = mmap.mmap(-1, _SIZE)
        self.progress = _SharedProgress(self._memory)
        self._looks: Counter[tuple[str, ...]] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._memory.close()

    def wait(
        self, child: Child, timeout: float, memory_limit: int | None = None, *, abandoned: Connection | None = None, keep: bool = False
    ) -> Any:
        """What the process sends, or a `Death`.

        Args:
            child: the process.
            timeout: seconds to wait.
            memory_limit: bytes that it may take beyond what it shares with this process.
            abandoned: the connection to the user; when it closes, nobody waits for the answer any more.
            keep: leave the process running after its answer.
        """
        limit = time.monotonic() + timeout
        allowed = None if memory_limit is None else _resident(os.getpid()) + memory_limit
        while True:
            answer = self._look(child, abandoned)
            if answer is None and time.monotonic() > limit:
                self._dump(child)
                answer = Death(Mode.TIMEOUT, f"no answer in {timeout:.0f} s")
            if answer is None and allowed is not None and _resident(child.pid) > allowed:
                self._dump(child)
                answer = Death(Mode.MEMORY, f"more than {memory_limit or 0:,} bytes of memory")
            if answer is not None:
                if not keep or isinstance(answer, Death):
                    child.kill()
                    child.connection.close()
                return answer

    def _look(self, child: Child, abandoned: Connection | None) -> Any:
        watched: list[Any] = [child.connection, *([abandoned] if abandoned is not None else [])]
        ready = wait(watched, _TICK)
        self._looks[tuple(self.position()[1])] += 1
        if child.connection in ready:
            try:
                return child.connection.recv()
            except (EOFError, OSError):
                pass
        elif abandoned is not None and abandoned in ready:
            child.kill()
            raise EOFError
        status = child.poll()
        if status is None:
            return None
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return Death(Mode.MEMORY, "killed by the system, most likely for the memory it took")
        return Death(Mode.CRASH, child.verdict())

    def position(self) -> tuple[Stage | None, list[str]]:
        """The stage and the running modules, outermost first."""
        size = int.from_bytes(self._memory[:4], "little")
        stage, _, stack = self._memory[4 : 4 + min(size, _SIZE - 4)].decode(errors="replace").partition("\n")
        try:
            return Stage(stage), stack.split("\n") if stack or stage == Stage.EAGER else []
        except ValueError:
            return None, []

    def suspects(self) -> list[str]:
        """The modules that were running in most looks, innermost first."""
        looks = sum(self._looks.values())
        counts: Counter[str] = Counter()
        depth: dict[str, int] = {}
        for stack, number in self._looks.items():
            for position, fqn in enumerate(stack):
                counts[fqn] += number
                depth[fqn] = max(depth.get(fqn, 0), position)
        often = [fqn for fqn, number in counts.items() if number > _SHARE * looks]
        return sorted(often, key=lambda fqn: -depth[fqn])

    def lines(self) -> list[tuple[str, int]]:
        """(file, line) of the Python stack when the process died or was asked, outermost first."""
        with contextlib.suppress(OSError):
            text = (self._directory / _DUMP).read_text(errors="replace")
            last = text.rpartition("most recent call first")[2]
            return list(reversed([(file, int(line)) for file, line in re.findall(r'File "([^"]+)", line (\d+)', last)]))
        return []

    def _dump(self, child: Child) -> None:
        """Let the process write its Python stack, also in the middle of native code."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGUSR1)
            time.sleep(0.15)


def arm(directory: Path) -> None:
    """In the watched process: write the Python stack to a file on a fatal signal, and when asked."""
    dump = (directory / _DUMP).open("w")
    faulthandler.enable(dump, all_threads=False)
    faulthandler.register(signal.SIGUSR1, dump, all_threads=False)
    globals()["_dump_file"] = dump  # must outlive this call


def failure_of(death: Death, watch: Watch, locator: clues.Locator) -> Failure:
    """The failure of a process that died, with the module that was running as its clue."""
    stage, stack = watch.position()
    suspects = watch.suspects() if death.mode is Mode.TIMEOUT else list(reversed(stack))
    lines = watch.lines()
    found = tuple(Clue(fqn, ClueKind.RUNNING, locator.own_line(fqn, lines)) for fqn in suspects[:1] if fqn in locator.names.modules)
    now = stage or Stage.CAPTURE
    details = f"{death.words} at {now}\n" + "\n".join(f'  File "{file}", line {line}' for file, line in lines)
    return Failure(now, death.mode, signature(now, death.mode), "", death.words, clues=found, details=details)


def receive(child: Child, timeout: float, *, abandoned: Connection) -> Any:
    """An answer of a process that is known to be idle, or None.

    Raises:
        EOFError: the user's process closed its connection meanwhile.
    """
    ready = wait([child.connection, abandoned], timeout)
    if child.connection not in ready:
        if abandoned in ready:
            raise EOFError
        return None
    try:
        return child.connection.recv()
    except (EOFError, OSError):
        return None


def end_of(file: Path, size: int = 100_000) -> str:
    """The last `size` bytes of a file as text."""
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - size))
        return opened.read().decode(errors="replace")


def free_memory(share: float = 0.8) -> int | None:
    """That share of the memory that is free now, in bytes; None where the system does not say."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", text)
    return int(int(found[1]) * 1024 * share) if found else None


def _resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123 - read often
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
