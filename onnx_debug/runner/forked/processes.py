"""Forking, and ending what was forked. POSIX only."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import signal
import sys
import threading
import time
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

import psutil
import torch

from onnx_debug.runner import silence
from onnx_debug.torch_private import native_threads

PR_SET_PDEATHSIG = 1  # linux/prctl.h: the signal a process gets when its parent dies
PR_SET_CHILD_SUBREAPER = 36  # the same: a descendant's orphans become this process's children
_LONGEST_DEATH = 5.0  # seconds; a killed process that is still there then is stuck in the kernel and cannot be waited for

_forked: set[int] = set()  # what this process forked through `fork` and did not reap yet
# This process's own connections, which its forks have no business with.
_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


@dataclass
class Child:
    """A forked process and the connection to it."""

    pid: int
    connection: Connection
    status: int | None = None

    def poll(self) -> int | None:
        """The exit status as `os.waitpid` gives it, or None while the process runs."""
        if self.status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else in this process waits for any child
                pid, status = self.pid, 0
            if pid:
                self.status = status
                _forked.discard(self.pid)
                _signal_group(self.pid)  # what it started and left behind
        return self.status

    def kill(self) -> None:
        """Kill the process and everything that it started, and wait until it is gone."""
        if self.poll() is None:
            _kill_tree(self.pid)
            limit = time.monotonic() + _LONGEST_DEATH
            while self.poll() is None and time.monotonic() < limit:
                time.sleep(0.002)
        self.connection.close()

    def end(self, patience: float = 0.5) -> None:
        """Give the process `patience` seconds to leave by itself, then kill it.

        One that leaves by itself also buries its children; those of a killed one may stay as
        zombies, where nobody reaps orphans.
        """
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
        limit = time.monotonic() + patience
        while self.poll() is None and time.monotonic() < limit:
            time.sleep(0.005)
        self.kill()

    def verdict(self) -> str:
        """How the process ended, in words."""
        status = self.poll()
        if status is None:
            return "still running"
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            names = {member.value: member.name for member in signal.Signals}
            return f"killed by {names.get(number, f'signal {number}')}"
        return f"exit status {os.WEXITSTATUS(status)}"


def fork(
    work: Callable[[Connection], None], output: Path, *, tied: bool = True, threads: int = 1
) -> Child:
    """Run `work(connection)` in a fork of this process, with what it prints going to `output`.

    The child never returns from here and runs no exit handlers.

    Args:
        work: what the child does, with its end of the connection.
        output: file that takes what the child prints.
        tied: the child dies with its parent, where the system can do that. The system means the
            parent's thread, so a child of a process with several threads is better not tied; it
            ends when its connection closes.
        threads: that torch computes with in the child, where the system can do that.
    """
    ours, theirs = Pipe()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a closed stream of the user's
            stream.flush()
    parent = os.getpid()
    threads = threads if native_threads.release() else 1
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # of forking beside threads: the child touches none of their locks
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
    if pid == 0:
        gc.freeze()  # what is garbage already stays: its native destructors may wait for threads that do not exist here
        status = 1
        try:
            for connection in (ours, *_connections):
                connection.close()
            _connections.clear()
            _connections.add(theirs)
            _settle(parent if tied else None, output)
            torch.set_num_threads(threads)
            work(theirs)
            status = 0
        except BaseException:  # noqa: BLE001 - nothing may escape into the user's code, which this process is a copy of
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)
    _forked.add(pid)
    _connections.add(ours)
    theirs.close()
    return Child(pid, ours)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the end of a block that must not be left half done. Keep the block short."""
    if threading.current_thread() is not threading.main_thread() or not callable(
        handler := signal.getsignal(signal.SIGINT)
    ):
        yield
        return
    came: list[tuple[int, object]] = []
    signal.signal(signal.SIGINT, lambda *interrupt: came.append(interrupt))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if came:
        handler(signal.SIGINT, None)


def adopt_orphans() -> None:
    """From now on `end_orphans` finds processes whose parent ended, also those that left their process group."""
    _control(PR_SET_CHILD_SUBREAPER, 1)


def end_orphans() -> None:
    """Kill what descendants of this process left behind. Only for a process that has no children but those that it got by `fork`."""
    for pid in _children() - _forked:
        _bury(pid)


def end_children() -> None:
    """Kill everything below this process. Only for a process that has no children but those that it got by `fork`."""
    for pid in _children() | _forked:
        _bury(pid)
    _forked.clear()


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def _bury(pid: int) -> None:
    _kill_tree(pid)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _kill_tree(pid: int) -> None:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        _signal_group(pid)
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.kill()


def _signal_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _control(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value)


def _settle(parent: int | None, output: Path) -> None:
    """Cut the child off from the user's process: own process group, own output, none of its signal handlers and traces."""
    os.setpgid(0, 0)
    if parent is not None:
        _control(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # the parent died before the line above
    _forked.clear()
    _reset_signals()
    sys.settrace(None)  # a debugger or a profiler of the user: its other half did not come along
    sys.setprofile(None)
    resource.setrlimit(
        resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1])
    )  # crashes are expected here
    with contextlib.suppress(
        OSError
    ):  # if memory runs out, the system is to end this process and not the user's
        Path("/proc/self/oom_score_adj").write_text("1000")
    before = (sys.stdout, sys.stderr)
    target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(target, number)
    os.close(target)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout = open(1, "w", buffering=1, closefd=False, errors="replace")  # noqa: SIM115 - stays open as long as the process
    sys.stderr = open(2, "w", buffering=1, closefd=False, errors="replace")  # noqa: SIM115
    silence.redirect(before, (sys.stdout, sys.stderr))


def _reset_signals() -> None:
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is for the user's process, which ends this one
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
