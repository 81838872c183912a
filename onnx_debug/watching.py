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
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from onnx_debug import clues, memory
from onnx_debug.outcome import Clue, ClueKind, Failure, Mode, Stage, signature
from onnx_debug.processes import Child
from onnx_debug.target import Progress

_SIZE = 16_384
_TICK = 0.05  # seconds between two looks
_DUMP, _OUTPUT = "stack.txt", "output.log"
_MOST_OUTPUT = 50_000_000  # bytes of output on disk; a trial that prints without end would fill it
_SHARE = 0.6  # of the looks that must find a module running to call it the one that hangs


class GoneError(Exception):
    """The user's process hung up or is gone: nobody waits for an answer any more."""


class Pulse:
    """Shared memory in which a process shows that it is alive and at work."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def beat(self) -> None:
        """Show it."""
        self._memory[:8] = time.monotonic_ns().to_bytes(8, "little")

    @property
    def age(self) -> float:
        """Seconds since the last beat."""
        return (time.monotonic_ns() - int.from_bytes(self._memory[:8], "little")) / 1e9


class Line:
    """The line from the fork server to the user's process. While a question is worked on, all that can come over it is its end."""

    def __init__(self, connection: Connection, pulse: Pulse) -> None:
        self.connection, self.pulse = connection, pulse
        self._user = os.getppid()

    @property
    def cut(self) -> bool:
        """Whether the user's process is gone, though a copy of its end may live on in another process."""
        return os.getppid() != self._user

    def question(self) -> Any:
        """The next question.

        Raises:
            GoneError: there will be none.
        """
        try:
            while not self.connection.poll(1.0):
                if self.cut:
                    raise GoneError
            return self.connection.recv()
        except (EOFError, OSError) as error:
            raise GoneError from error

    def answer(self, answer: Any, problem: str = "") -> None:
        """Answer it.

        Raises:
            GoneError: nobody listens.
        """
        try:
            self.connection.send((answer, problem))
        except OSError as error:
            raise GoneError from error

    def wait(self, connection: Connection) -> bool:
        """Wait a moment for something to read.

        Raises:
            GoneError: nobody waits for an answer any more.
        """
        self.pulse.beat()
        ready = wait([connection, self.connection], _TICK)
        if self.connection in ready or self.cut:
            raise GoneError
        return connection in ready


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
    """Watches one process that works in `directory`. `progress` is to be used inside it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.output = directory / _OUTPUT
        self._memory = mmap.mmap(-1, _SIZE)
        self.progress = _SharedProgress(self._memory)
        self._looks: list[tuple[str, ...]] = []
        self._last: tuple[Stage | None, list[str]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._memory.close()

    def wait(self, child: Child, line: Line, timeout: float, memory_limit: int | None = None) -> Any:
        """What the process sends, or a `Death`; it is ended in that case.

        Args:
            child: the process.
            line: to the user, who may lose interest.
            timeout: seconds to wait.
            memory_limit: bytes that it may take beyond what it shares with this process.

        Raises:
            GoneError: the user lost interest; the process is ended.
        """
        limit = time.monotonic() + timeout
        allowed = None if memory_limit is None else memory.resident(os.getpid()) + memory_limit
        answer = None
        try:
            while answer is None:
                answer = self._look(child, line)
                if answer is None and time.monotonic() > limit:
                    answer = self._end(child, Death(Mode.TIMEOUT, f"no answer in {timeout:.0f} s"))
                if answer is None and allowed is not None and memory.resident(child.pid) > allowed:
                    answer = self._end(child, Death(Mode.MEMORY, f"more than {(memory_limit or 0) / 1e9:.1f} GB of memory"))
        except GoneError:
            child.kill()
            raise
        return answer

    def _look(self, child: Child, line: Line) -> Any:
        ready = line.wait(child.connection)
        self._looks.append(tuple(self.position()[1]))
        self._bound_output()
        if ready:
            try:
                return child.connection.recv()
            except (EOFError, OSError):
                time.sleep(_TICK)  # it closed its end, and is dead or about to hang
            except Exception as error:  # noqa: BLE001 - something else in the process wrote to this descriptor
                return self._end(child, Death(Mode.CRASH, f"its answer cannot be read: {error}"))
        status = child.poll()
        if status is None:
            return None
        child.kill()
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return Death(Mode.MEMORY, "killed by the system, most likely for the memory it took")
        return Death(Mode.CRASH, child.verdict())

    def _end(self, child: Child, death: Death) -> Death:
        """Let the process write its Python stack, also in the middle of native code, and kill it."""
        self._last = self.position()  # the signal may wake it
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGUSR1)
            time.sleep(0.15)
        child.kill()
        return death

    def _bound_output(self) -> None:
        with contextlib.suppress(OSError):
            if self.output.stat().st_size > _MOST_OUTPUT:
                os.truncate(self.output, 0)  # the process appends, so it goes on from there

    def position(self) -> tuple[Stage | None, list[str]]:
        """The stage and the running modules, outermost first."""
        if self._last is not None:
            return self._last
        size = int.from_bytes(self._memory[:4], "little")
        stage, _, stack = self._memory[4 : 4 + min(size, _SIZE - 4)].decode(errors="replace").partition("\n")
        try:
            return Stage(stage), stack.split("\n") if stack or stage == Stage.EAGER else []
        except ValueError:
            return None, []

    def suspects(self) -> list[str]:
        """The modules that were running in most looks of the later half, innermost first: what hangs is what came last."""
        late = self._looks[len(self._looks) // 2 :]
        depth: dict[str, int] = {}
        for stack in late:
            for position, fqn in enumerate(stack):
                depth[fqn] = max(depth.get(fqn, 0), position)
        often = [fqn for fqn in depth if sum(fqn in stack for stack in late) > _SHARE * len(late)]
        return sorted(often, key=lambda fqn: -depth[fqn])

    def lines(self) -> list[tuple[str, int]]:
        """(file, line) of the Python stack when the process died or was asked, outermost first."""
        with contextlib.suppress(OSError):
            text = (self._directory / _DUMP).read_text(errors="replace")
            last = text.rpartition("most recent call first")[2]
            return list(reversed([(file, int(line)) for file, line in re.findall(r'File "([^"]+)", line (\d+)', last)]))
        return []


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


def end_of(file: Path, size: int = 100_000) -> str:
    """The last `size` bytes of a file as text."""
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - size))
        return opened.read().decode(errors="replace")
