"""A fork that is watched while it works: where it is, whether it still lives, and what it was doing when it died.

It has a directory of its own: what it prints goes to a file there, and so do its answers. The pipe
carries a few bytes for each answer, so nobody waits for the rest of a message from a process that
hangs, or that wrote nonsense into every descriptor it found.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn

import torch

from onnx_debug.data.stage import Mode, Stage
from onnx_debug.runner import memory, silence
from onnx_debug.runner.forked.death import Death, DiedError
from onnx_debug.runner.forked.processes import fork
from onnx_debug.runner.forked.shared_memory import Shared

TICK = 0.05  # seconds between two looks
_DONE, _MISTAKE = b"done", b"mistake"
_STACK = "stack.txt"
_SHARE = 0.6  # of the looks that must find a module running to call it the one that hangs
_MOST_OUTPUT = 50_000_000  # bytes of output on disk; a trial that prints without end would fill it

Ready = Callable[[Connection], bool]


def write(answer: Any, file: Path) -> None:
    """Write an answer down for another process of ours."""
    torch.save(answer, file)


def read(file: Path) -> Any:
    """Read it there."""
    return torch.load(file, weights_only=False)


def _ready(connection: Connection) -> bool:
    return bool(wait([connection], TICK))


class Worker:
    """A fork of this process that answers once, and then whatever it is asked.

    Args:
        shared: what all processes of the case share.
        work: makes the first answer; it is told its directory.
        further: makes an answer to each later question; None: there is only one.
    """

    def __init__(
        self,
        shared: Shared,
        work: Callable[[Path], Any],
        further: Callable[[Any], Any] | None = None,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(dir=shared.directory))
        self._shared, self._work, self._further = shared, work, further
        self._answers = 0
        self._looks: list[list[str]] = []
        shared.progress.restart()
        self._child = fork(self._serve, self.directory / silence.OUTPUT, threads=shared.threads)

    # --- in the fork

    def _serve(self, connection: Connection) -> None:
        stack = (self.directory / _STACK).open("w")  # stays open as long as the process
        faulthandler.enable(stack, all_threads=False)
        faulthandler.register(signal.SIGUSR1, stack, all_threads=False)
        self._give(connection, self._work, self.directory)
        while self._further is not None:
            question = connection.recv()
            self._answers += 1
            self._give(connection, self._further, question)

    def _give(self, connection: Connection, work: Callable[[Any], Any], given: Any) -> None:
        try:
            answer, kind = work(given), _DONE
            self._shared.progress.finish()
            write(answer, self._file())
        except Exception:  # noqa: BLE001 - a mistake of onnx_debug; what the user's model raises is a part of the answer
            self._shared.progress.finish()
            write(traceback.format_exc(), self._file())
            kind = _MISTAKE
        connection.send_bytes(kind)

    def _file(self) -> Path:
        return self.directory / f"answer{self._answers}.pt"

    # --- in the process that watches it

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._child.poll() is None

    def ask(self, question: Any, timeout: float, ready: Ready = _ready) -> Path:
        """The file with the answer to a further question; see `wait`."""
        self._answers += 1
        self._looks.clear()
        self._shared.progress.restart()
        try:
            self._child.connection.send(question)
        except OSError as error:
            self.end()
            raise DiedError(self._ending()) from error
        return self.wait(timeout, ready)

    def wait(self, timeout: float, ready: Ready = _ready) -> Path:
        """The file with the answer.

        Args:
            timeout: seconds until the process is ended.
            ready: waits a moment for something to read; what it raises ends the process.

        Raises:
            DiedError: the process died, or was ended because of what it did.
        """
        try:
            return self._wait(time.monotonic() + timeout, timeout, ready)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Kill the process and all that it started."""
        self._child.kill()

    def _wait(self, limit: float, timeout: float, ready: Ready) -> Path:
        most = self._shared.memory_limit
        inherited = memory.resident(os.getpid())
        while True:
            may_read = ready(self._child.connection)
            self._looks.append(self._shared.progress.read()[1])
            self._bound_output()
            if may_read and self._read():
                return self._file()
            if self._child.poll() is not None and (may_read or not self._child.connection.poll()):
                raise DiedError(self._ending())
            if time.monotonic() > limit:
                alone = " (with one thread)" if self._shared.slowdown > 1 else ""
                self._ended(Mode.TIMEOUT, f"no answer in {timeout:.0f} s{alone}")
            family = len(self._looks) % 10 == 0
            if most and memory.held(self._child.pid, family=family) > inherited + most:
                self._ended(Mode.MEMORY, f"more than {most / 1e9:.1f} GB of memory")

    def _read(self) -> bool:
        """Whether the answer is there."""
        try:
            said = self._child.connection.recv_bytes(16)
        except EOFError:
            time.sleep(TICK)  # it closed its end, and is dead or about to hang
            return False
        except OSError as error:
            self._ended(Mode.CRASH, f"its answer cannot be read: {error}")
        if said == _MISTAKE:
            raise DiedError(Death.of_ours(read(self._file())))
        if said != _DONE:
            self._ended(Mode.CRASH, "its answer cannot be read")
        return True

    def _ending(self) -> Death:
        """What became of a process that is gone."""
        status, place = self._child.status or 0, self._shared.progress.read()
        self.end()
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            words = "killed by the system, most likely for the memory it took"
            return self._death(Mode.MEMORY, words, place, by_chance=True)
        return self._death(Mode.CRASH, self._child.verdict(), place)

    def _ended(self, mode: Mode, words: str) -> NoReturn:
        """End the process, after it wrote its Python stack, also in the middle of native code.

        Raises:
            DiedError: always.
        """
        place = self._shared.progress.read()  # now: the signal may wake it
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child.pid, signal.SIGUSR1)
            time.sleep(0.15)
        self.end()
        raise DiedError(self._death(mode, words, place))

    def _death(
        self,
        mode: Mode,
        words: str,
        place: tuple[Stage | None, list[str]],
        *,
        by_chance: bool = False,
    ) -> Death:
        stage, stack = place
        suspects = self._running_long() if mode is Mode.TIMEOUT else reversed(stack)
        log = silence.printed(self.directory)
        return Death(mode, words, stage, tuple(suspects), self._lines(), by_chance, log)

    def _running_long(self) -> list[str]:
        """The modules that were running in most looks of the later half, innermost first: what hangs is what came last."""
        late = self._looks[len(self._looks) // 2 :]
        depth: dict[str, int] = {}
        for stack in late:
            for position, fqn in enumerate(stack):
                depth[fqn] = max(depth.get(fqn, 0), position)
        often = [fqn for fqn in depth if sum(fqn in stack for stack in late) > _SHARE * len(late)]
        return sorted(often, key=lambda fqn: -depth[fqn])

    def _lines(self) -> tuple[tuple[str, int], ...]:
        """(file, line) of the Python stack when the process died or was ended, outermost first."""
        try:
            text = (self.directory / _STACK).read_text(errors="replace")
        except OSError:
            return ()
        last = text.rpartition("most recent call first")[2]
        found = re.findall(r'File "([^"]+)", line (\d+)', last)
        return tuple((file, int(line)) for file, line in reversed(found))

    def _bound_output(self) -> None:
        output = self.directory / silence.OUTPUT
        with contextlib.suppress(OSError):
            if output.stat().st_size > _MOST_OUTPUT:
                os.truncate(output, 0)  # the process appends, so it goes on from there
