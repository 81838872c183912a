"""Private temporary directories, locked as long as their process lives: so what a killed process left is known, and removed."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import sys
import tempfile
import time
import weakref
from pathlib import Path

if sys.platform != "win32":
    import fcntl

from onnx_debug.data.errors import NoSpaceError
from onnx_debug.data.failure import Failure

_PREFIX = "onnx_debug_"
_LOCK = "in_use"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_YOUNGEST = 60.0  # seconds; a directory that is being made has no lock yet

_locks: dict[str, int] = {}


def make() -> Path:
    """A new directory, for this user only (0700).

    Raises:
        NoSpaceError: the disk is full.
    """
    _remove_abandoned()
    try:
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
    except OSError as error:
        raise NoSpaceError(_no_space()) from error
    with contextlib.suppress(OSError):
        _locks[str(directory)] = _lock(directory)
    return directory


def remove(directory: Path) -> None:
    """Remove a directory that `make` made."""
    shutil.rmtree(directory, ignore_errors=True)
    if (lock := _locks.pop(str(directory), None)) is not None:
        os.close(lock)


def require_space(failure: Failure | None) -> None:
    """Tell a full disk apart from a fault of the model.

    Raises:
        NoSpaceError: the trial failed because it could not write its files.
    """
    if failure is not None and failure.message.startswith(
        tuple(f"[Errno {number}]" for number in _FULL)
    ):
        raise NoSpaceError(_no_space())


def _no_space() -> str:
    return f"No space is left for temporary files in {tempfile.gettempdir()}: free some, or set TMPDIR to another place and restart."


def _lock(directory: Path) -> int:
    """The descriptor of the lock.

    Raises:
        OSError: another process has it.
    """
    lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform != "win32":
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _remove_abandoned() -> None:
    if sys.platform == "win32":
        return
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            found, lock = directory.lstat(), (directory / _LOCK).lstat()
            ours = stat.S_ISDIR(found.st_mode) and {found.st_uid, lock.st_uid} == {os.getuid()}
            if ours and time.time() - lock.st_mtime > _YOUNGEST:
                held = _lock(directory)
                shutil.rmtree(directory, ignore_errors=True)
                os.close(held)


_REFERENCES: dict[str, int] = {}


def keep_while_used(user: object, directory: Path) -> None:
    """Remove `directory` when the last object that was passed here with it is gone."""
    key = str(directory)
    _REFERENCES[key] = _REFERENCES.get(key, 0) + 1
    weakref.finalize(user, _release, key, os.getpid())


def _release(key: str, owner: int) -> None:
    if os.getpid() != owner:
        return  # a fork lost its copy of the object; the files belong to the original
    _REFERENCES[key] -= 1
    if not _REFERENCES[key]:
        del _REFERENCES[key]
        remove(Path(key))
