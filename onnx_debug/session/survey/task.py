"""One diagnosis as a task for an executor's worker: a process of its own with limits, watched from outside.

Wherever the worker is (a thread here, a process, another machine), the model never runs in it: so a
crash, an endless loop or a memory blow-up costs one answer, and no worker.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from onnx_debug.data.survey import Combination
from onnx_debug.runner import memory
from onnx_debug.session.survey.recipe import Recipe

_GRACE = 30.0  # seconds beyond the limit, in which a session tells what it found so far
_LOOK = 0.5  # seconds between two looks at a running process

# What runs for this process, to end it when the survey is interrupted.
_running: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class Task:
    """What a worker is sent: plain data of some hundred bytes.

    Attributes:
        timeout: seconds for the whole diagnosis.
        memory_limit: bytes for its process with all that this starts; None: most of what is free.
        versions: of the packages that the answer depends on; a worker with others must not answer.
    """

    combination: Combination
    recipe: Recipe
    timeout: float
    memory_limit: int | None
    fixes: bool
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Reply:
    """What a worker sends back.

    Attributes:
        diagnosis: as JSON; empty where there is none.
        said: why there is none.
        died: its process or its worker died, perhaps for what others did: another try may succeed.
    """

    diagnosis: str = ""
    said: str = ""
    died: bool = False
    seconds: float = 0.0


def answer(task: Task) -> Reply:
    """Run the task in a process of its own, and wait for its end."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="onnx_debug_survey_") as folder:
        reply = _run(task, Path(folder))
    return replace(reply, seconds=time.monotonic() - began)


def end_running() -> None:
    """End what `answer` runs in this process's threads."""
    for process in list(_running):
        _end(process)


def _run(task: Task, folder: Path) -> Reply:
    (folder / "task").write_bytes(pickle.dumps(task))
    command = [sys.executable, "-P", "-m", "onnx_debug.session.survey.child", folder]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [*map(str, command), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": _search_path()},
            start_new_session=True,  # Ctrl-C is for the survey
        )
    _running.add(process)
    try:
        over = _watch(process, task)
    finally:
        _end(process)
        _running.discard(process)
    with contextlib.suppress(OSError):
        found: Reply = pickle.loads((folder / "reply").read_bytes())
        return found
    if over:
        return Reply(said=over)
    return Reply(said=_death(process.returncode, folder / "output"), died=True)


def _search_path() -> str:
    """Where this process finds modules: there the new one finds them too."""
    return os.pathsep.join(part or str(Path.cwd()) for part in sys.path)


def _watch(process: subprocess.Popen[bytes], task: Task) -> str:
    """Wait for the end of the process; in words, which limit it went beyond, if any."""
    end = time.monotonic() + task.timeout + _GRACE
    limit = task.memory_limit or memory.free()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK)
            return ""
        if time.monotonic() > end:
            return f"the case was not made, or not diagnosed, within {task.timeout:.0f} s"
        if memory.held(process.pid, family=True) > limit:
            return f"its process took more memory than {limit / 2**30:.1f} GiB"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process with all that it started, where it still runs."""
    if process.poll() is None:
        with contextlib.suppress(psutil.Error):
            for below in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    below.kill()
        process.kill()
        process.wait()


def _death(status: int, output: Path) -> str:
    names = {-member.value: member.name for member in signal.Signals}
    how = f"killed by {names[status]}" if status in names else f"exit status {status}"
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = f"; its last words: {lines[-1][:300]}" if lines else ""
    return f"its process ended without an answer ({how}{last})"
