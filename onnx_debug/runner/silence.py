"""What a trial says does not reach the notebook: in a fork it goes to the fork's own streams or nowhere, in process to a file."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

OUTPUT = "output.log"
_MOST_PRINTED = 100_000  # bytes that are kept of it


def redirect(before: Sequence[Any], now: Sequence[Any]) -> None:
    """Let those that hold the process's former streams write to the present ones, and cut the line to the notebook."""
    for logger in [logging.root, *logging.root.manager.loggerDict.values()]:
        for handler in getattr(logger, "handlers", ()):
            if getattr(handler, "stream", None) in before:
                handler.stream = now[1]
    for old, new in zip(before, now, strict=True):
        with contextlib.suppress(
            AttributeError, TypeError
        ):  # a stream of C may not let itself be changed; its descriptor was
            old.write, old.flush = new.write, new.flush
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None:
        _cut_off(shell)


def printed(directory: Path) -> str:
    """What this process, or another one at work in that directory, printed there; the end of it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # whatever the user made of it
            stream.flush()
    with contextlib.suppress(OSError), (directory / OUTPUT).open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST_PRINTED))
        return file.read().decode(errors="replace")
    return ""


@contextlib.contextmanager
def printed_to(directory: Path) -> Iterator[None]:
    """Let what this process prints in the block go to a file there, also what native code prints."""
    file = directory / OUTPUT
    with file.open("a", errors="replace") as output, contextlib.ExitStack() as restored:
        for number, stream in ((1, sys.stdout), (2, sys.stderr)):
            with contextlib.suppress(Exception):  # a process without a console has neither
                stream.flush()
                kept = os.dup(number)
                restored.callback(os.close, kept)
                restored.callback(os.dup2, kept, number)
                os.dup2(output.fileno(), number)
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            yield


def _cut_off(shell: Any) -> None:
    """Displays and widgets of a fork would reach the notebook over a pipe, and `input` would wait at a socket of the user's process."""

    def nowhere(*_: Any, **__: Any) -> None:
        pass

    shell.display_pub.publish = nowhere
    kernel = getattr(shell, "kernel", None)
    thread = getattr(kernel, "iopub_thread", None)
    if thread is not None:
        thread.schedule = thread.send_multipart = nowhere
    if kernel is not None:
        kernel._allow_stdin = False
