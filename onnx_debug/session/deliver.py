"""The exported file, at the path that the user named."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import onnx

from onnx_debug.data.diagnosis import Written


def deliver(f: Any, exported: str) -> Written:
    """Copy what a trial exported, external data included, to a path or a binary stream.

    All files are written aside and then renamed, so a half-written one never stands at the user's
    path.

    Returns:
        What was written, for the user to read.

    Raises:
        OSError: the place cannot be written to.
    """
    source = Path(exported)
    model = onnx.load(source, load_external_data=False)
    if not isinstance(f, str | os.PathLike):
        try:
            f.write(source.read_bytes())
        except ValueError as error:
            raise OSError(str(error)) from error  # a closed stream
        return _described("", [source], model)
    target = Path(os.path.realpath(os.fspath(f)))  # a link stays a link
    written: list[tuple[Path, Path]] = []
    try:
        # The model comes last: without its data it is of no use.
        for name in [*_external_data(source, model), source.name]:
            place = target if name == source.name else target.parent / name
            written.append((_write_aside(source.parent / name, place), place))
        for aside, place in written:
            aside.replace(place)
    finally:
        for aside, place in written:
            if aside != place:
                aside.unlink(missing_ok=True)
    return _described(os.fspath(f), [place for _, place in written], model)


def _described(path: str, files: list[Path], model: onnx.ModelProto) -> Written:
    size = sum(file.stat().st_size for file in files)
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    return Written(path, size, opset, len(model.graph.node))


def _external_data(source: Path, model: onnx.ModelProto) -> list[str]:
    """The files beside a model that hold its weights, as the model names them."""
    found = {
        entry.value: None
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    usual = f"{source.name}.data"  # written also when no weight is large enough to go there
    return [name for name in dict.fromkeys([*found, usual]) if (source.parent / name).is_file()]


def _write_aside(source: Path, target: Path) -> Path:
    """Copy to a new file in the target's directory; its path. A target that is no plain file (a device, a pipe) is written to at once."""
    if target.exists():
        with target.open("r+b"):  # what must not be written to must not be renamed over either
            pass
        if not target.is_file():
            shutil.copyfile(source, target)
            return target
    number, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    aside = Path(name)
    try:
        with source.open("rb") as read, os.fdopen(number, "wb") as write:
            shutil.copyfileobj(read, write, 1 << 20)
        aside.chmod(target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_umask())
    except BaseException:
        aside.unlink()
        raise
    return aside


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
