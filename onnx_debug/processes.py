"""Forking, and ending what was forked. POSIX only."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h: the signal a process gets when its parent dies


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
            except ChildProcessError:
                self.status = 0
            else:
                self.status = status if pid else None
        return self.status

    def kill(self) -> None:
        """Kill the process and what it forked, and wait until it is gone."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            while self.poll() is None:
                time.sleep(0.002)

    def end(self, patience: float = 1.0) -> None:
        """Close the connection, give the process `patience` seconds to leave by itself, then kill it."""
        self.connection.close()
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
            return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
        return f"exit status {os.WEXITSTATUS(status)}"


def fork(work: Callable[[Connection], None], output: Path, *, tied: bool = True) -> Child:
    """Run `work(connection)` in a fork of this process, with what it prints going to `output`.

    The child never returns from here and runs no exit handlers.

    Args:
        work: what the child does, with its end of the connection.
        output: file that takes what the child prints.
        tied: the child dies with its parent, where the system can do that. The system means the parent's thread, so a child of a process
            with several threads is better not tied; it ends when its connection closes.
    """
    ours, theirs = Pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: the child touches none of their locks
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            ours.close()
            _settle(parent if tied else None, output)
            work(theirs)
            status = 0
        except BaseException:  # noqa: BLE001 - nothing may escape into the user's code, which this process is a copy of
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)
    theirs.close()
    return Child(pid, ours)


def _settle(parent: int | None, output: Path) -> None:
    """Cut the child off from the notebook: own process group, own output, no interrupts."""
    os.setpgid(0, 0)
    if parent is not None:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # the parent died before the line above
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
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
    for logger in [logging.root, *logging.root.manager.loggerDict.values()]:
        for handler in getattr(logger, "handlers", ()):
            if getattr(handler, "stream", None) in before:
                handler.stream = sys.stderr
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None:  # what a model displays while it runs would go to the notebook over a pipe
        shell.display_pub.publish = lambda *_, **__: None
