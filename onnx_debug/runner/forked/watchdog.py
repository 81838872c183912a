"""Watching a trial from outside: where it is, whether it still answers, and what it was doing when it died.

The trial writes the stage and its running modules into shared memory; the watcher reads them.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx_debug.data.outcome import Clue, ClueKind, Failure, Mode, Source, Stage, signature
from onnx_debug.explain import locate, syntax
from onnx_debug.runner.forked import memory
from onnx_debug.runner.forked.channel import TICK, GivenUpError, Line
from onnx_debug.runner.forked.processes import Child, descendants
from onnx_debug.runner.forked.shared_memory import Setting

_DUMP, _OUTPUT = "stack.txt", "output.log"
_MOST_OUTPUT = 50_000_000  # bytes of output on disk; a trial that prints without end would fill it
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


class Watch:
    """Watches one process, which has a directory of its own.

    Attributes:
        directory: for the files of that process.
        output: what it prints.
        progress: to be used inside it.
    """

    def __init__(self, setting: Setting) -> None:
        self.directory = Path(tempfile.mkdtemp(dir=setting.directory))
        self.output = self.directory / _OUTPUT
        self.progress, self._memory_limit = setting.progress, setting.memory_limit
        self.progress.restart()
        self._looks: list[tuple[str, ...]] = []
        self._last: tuple[Stage | None, list[str]] | None = None

    def arm(self) -> None:
        """In the watched process: write the Python stack to a file on a fatal signal, and when asked."""
        dump = (self.directory / _DUMP).open("w")
        faulthandler.enable(dump, all_threads=False)
        faulthandler.register(signal.SIGUSR1, dump, all_threads=False)
        globals()["_dump_file"] = dump  # must outlive this call

    def wait(self, child: Child, line: Line, timeout: float) -> Any:
        """What the process sends, or a `Death`; it is ended in that case.

        Args:
            child: the process.
            line: to the user, who may lose interest.
            timeout: seconds to wait.

        Raises:
            GivenUpError: the user lost interest; the process is ended.
        """
        limit = time.monotonic() + timeout
        inherited = memory.resident(os.getpid())
        answer = None
        try:
            while answer is None:
                answer = self._look(child, line)
                if answer is None and time.monotonic() > limit:
                    answer = self._end(child, Death(Mode.TIMEOUT, f"no answer in {timeout:.0f} s"))
                if (
                    answer is None
                    and self._memory_limit is not None
                    and _held(child) > inherited + self._memory_limit
                ):
                    answer = self._end(
                        child,
                        Death(
                            Mode.MEMORY, f"more than {self._memory_limit / 1e9:.1f} GB of memory"
                        ),
                    )
        except GivenUpError:
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
                time.sleep(TICK)  # it closed its end, and is dead or about to hang
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
        """The stage and the running modules, outermost first; when the process was ended: as they were then."""
        return self._last or self.progress.read()

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
            text = (self.directory / _DUMP).read_text(errors="replace")
            last = text.rpartition("most recent call first")[2]
            return list(
                reversed(
                    [
                        (file, int(line))
                        for file, line in re.findall(r'File "([^"]+)", line (\d+)', last)
                    ]
                )
            )
        return []


def _held(child: Child) -> int:
    """Bytes of memory that a process holds, with all that it started."""
    below, own = descendants(child.pid), memory.resident(child.pid)
    return max(own, memory.held_together([child.pid, *below])) if below else own


def failure_of(death: Death, watch: Watch, locator: locate.Locator) -> Failure:
    """The failure of a process that died, with the module that was running as its clue."""
    stage, stack = watch.position()
    suspects = watch.suspects() if death.mode is Mode.TIMEOUT else list(reversed(stack))
    return failure_at(stage or Stage.CAPTURE, death, suspects, locator, watch.lines())


def _running(death: Death, fqn: str, way: tuple[Source, ...]) -> Clue:
    """Of a module that does not end, the loop is to blame, not the line in it at which the time was over."""
    loop = syntax.enclosing_loop(way[0]) if death.mode is Mode.TIMEOUT and way else None
    lines = (loop, *way) if loop is not None else way
    return Clue(fqn, ClueKind.RUNNING, lines[0] if lines else None, below=lines[1:])


def failure_at(
    stage: Stage,
    death: Death,
    suspects: list[str],
    locator: locate.Locator,
    lines: Sequence[tuple[str, int]] = (),
) -> Failure:
    """The failure of a process that died in a stage.

    Args:
        suspects: the modules that were running, innermost first.
        lines: (file, line) of its Python stack, outermost first.
    """
    found = tuple(
        _running(death, fqn, locator.way_to(fqn, lines))
        for fqn in suspects[:1]
        if fqn in locator.names.modules
    )
    details = f"{death.words} at {stage}\n" + "\n".join(
        f'  File "{file}", line {line}' for file, line in lines
    )
    return Failure(
        stage,
        death.mode,
        signature(stage, death.mode),
        "",
        death.words,
        clues=found,
        details=details,
    )


def end_of(file: Path, size: int = 100_000) -> str:
    """The last `size` bytes of a file as text."""
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - size))
        return opened.read().decode(errors="replace")
