"""The files of a session: the private directory while a diagnosis refers to it, and the exported file at the user's own path."""

from __future__ import annotations

import os
import shutil
import weakref
from pathlib import Path
from typing import Any

_REFERENCES: dict[str, int] = {}


def keep_while_used(user: object, directory: Path) -> None:
    """Remove `directory` when the last object that was passed here with it is gone."""
    key = str(directory)
    _REFERENCES[key] = _REFERENCES.get(key, 0) + 1
    weakref.finalize(user, _release, key)


def _release(key: str) -> None:
    _REFERENCES[key] -= 1
    if not _REFERENCES[key]:
        del _REFERENCES[key]
        shutil.rmtree(key, ignore_errors=True)


def deliver(f: Any, exported: str | None) -> None:
    """Copy what a trial exported, external data included, to a path or a binary stream.

    Each file is written aside and renamed, so a half-written one never stands at the user's path.

    Raises:
        OSError: the place cannot be written to.
    """
    if f is None or exported is None:
        return
    source = Path(exported)
    if not isinstance(f, str | os.PathLike):
        f.write(source.read_bytes())
        return
    target = Path(os.fspath(f))
    data = source.with_name(source.name + ".data")
    for found in [data, source] if data.exists() else [source]:  # the data first: a model without it is of no use
        _place(found, target.with_name(found.name))


def _place(source: Path, target: Path) -> None:
    aside = target.with_name(f".{target.name}.part")
    try:
        shutil.copyfile(source, aside)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
