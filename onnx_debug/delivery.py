"""The exported file, brought to where the user asked for it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any


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
    target = Path(f)
    for found in sorted(source.parent.glob(source.name + "*"), reverse=True):  # the data first: a model without it is of no use
        if found.name in (source.name, source.name + ".data"):
            aside = target.with_name(f".{found.name}.part")
            shutil.copyfile(found, aside)
            aside.replace(target.with_name(found.name))
