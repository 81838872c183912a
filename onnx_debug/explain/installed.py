"""Which files are the user's to change, decided by where packages are installed and never by a name in a path."""

from __future__ import annotations

import contextlib
import functools
from importlib.util import find_spec
from pathlib import Path

_LIBRARIES = ("torch", "functorch", "onnxscript", "onnx_ir", "onnx_debug")
# Code that was typed at a prompt has a name like that of generated code.
_TYPED = ("<ipython-input", "<python-input", "<stdin>")


@functools.cache
def is_library(file: str) -> bool:
    """Whether nobody who exports a model writes this file: torch, what exports and examines, Python itself, and generated code."""
    if is_generated(file):
        return True
    path = Path(file).absolute()
    return any(path.is_relative_to(folder) for folder in _folders()) or _is_standard(path)


def is_generated(file: str) -> bool:
    """Whether code was made from text by a library: there is no line to show."""
    return file.startswith("<") and not file.startswith(_TYPED)


def _is_standard(path: Path) -> bool:
    """Packages are installed below the folder of Python's own modules, and are not a part of it."""
    folder = Path(contextlib.__file__).absolute().parent
    if not path.is_relative_to(folder):
        return False
    return path.relative_to(folder).parts[0] not in ("site-packages", "dist-packages")


@functools.cache
def _folders() -> tuple[Path, ...]:
    specs = [find_spec(package) for package in _LIBRARIES]
    return tuple(
        Path(folder).absolute()
        for spec in specs
        if spec is not None
        for folder in spec.submodule_search_locations or ()
    )
