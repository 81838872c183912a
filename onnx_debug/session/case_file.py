"""The case that a function in a file of the user's returns: `model.py:make` or `package.module:make`."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from onnx_debug.request.matching import did_you_mean

T = TypeVar("T")
_CASE = ("model", "args", "kwargs")


class CaseFileError(Exception):
    """The case cannot be found, is none, or the user's code that makes it raised an error."""


def make_case(name: str) -> dict[str, Any]:
    """The case that the function returns, as keywords of `diagnose`.

    Raises:
        CaseFileError: there is none.
    """
    where, _, function = name.rpartition(":")
    if not where or not function:
        raise CaseFileError(f"{name!r} is not of the form FILE.py:FUNCTION{_functions(name)}")
    if where.endswith(".py"):
        _require_function(Path(where), function)
    module = load(where)
    make = getattr(module, function, None)
    if not callable(make):
        hint = did_you_mean(function, vars(module))
        raise CaseFileError(f"{where} has no function {function!r}{hint}")
    return made_by(make, name)


def load(where: str) -> ModuleType:
    """The module that a file or a dotted name stands for, with all that its code does when it is imported.

    Raises:
        CaseFileError: there is no such file, or its code raised an error.
    """
    # What we need ourselves is imported before the user's folder comes to stand first.
    import onnx_debug.session.diagnose  # noqa: F401

    if where.endswith(".py"):
        _require_file(Path(where))
    return _running(where, lambda: _import(where))


def made_by(make: Callable[[], Any], name: str) -> dict[str, Any]:
    """The case that `make` returns, as keywords of `diagnose`; `name` is what messages call it.

    Raises:
        CaseFileError: it raised an error, or returned no case.
    """
    made = _running(name, make)
    if not isinstance(made, tuple) or not 2 <= len(made) <= 4:
        raise CaseFileError(f"{name} must return (model, args[, kwargs[, export options]])")
    return {**dict(zip(_CASE, made, strict=False)), **(made[3] if len(made) == 4 else {})}


def _running(name: str, code: Callable[[], T]) -> T:
    """What the user's code returns; its errors are told in one line."""
    try:
        return code()
    except CaseFileError:
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())
        raise CaseFileError(
            f"{name} raises {type(error).__name__}: {said} ({last.filename}:{last.lineno})"
        ) from error


def _import(where: str) -> ModuleType:
    if not where.endswith(".py"):
        sys.path.insert(0, "")  # as `python -m` would
        return importlib.import_module(where)
    path = Path(where)
    name = path.stem.replace(".", "_")
    while name in sys.modules or importlib.util.find_spec(name) is not None:
        name = f"_{name}"  # a file called onnx.py stands for itself, not for onnx
    sys.path.insert(
        0, str(path.parent.resolve())
    )  # it finds its neighbours, as in `python file.py`
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _require_function(path: Path, function: str) -> None:
    """Look for the name in the source: to run the file can take long, and may be in vain."""
    _require_file(path)
    names = list(_names(path))
    if function not in names and "*" not in names:
        raise CaseFileError(
            f"{path} has no function {function!r}{did_you_mean(function, names) or _functions(str(path))}"
        )


def _require_file(path: Path) -> None:
    if not path.is_file():
        near = did_you_mean(str(path), map(str, path.parent.glob("*.py")))
        raise CaseFileError(f"there is no file {path}{near}")


def _functions(where: str) -> str:
    """`; it has make, make_small`, for a file that has functions."""
    path = Path(where)
    if path.suffix != ".py" or not path.is_file():
        return ""
    found = [node.name for node in _body(path) if isinstance(node, ast.FunctionDef)]
    return f"; its functions are {', '.join(found)}" if found else ""


def _names(path: Path) -> Iterator[str]:
    """Every name that the file's code could bind, "*" for those that cannot be known."""
    for statement in _body(path):
        for node in ast.walk(statement):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.alias):
                yield node.asname or node.name
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def _body(path: Path) -> list[ast.stmt]:
    try:
        return ast.parse(path.read_bytes()).body
    except SyntaxError as error:
        raise CaseFileError(f"{path}, line {error.lineno}: {error.msg}") from error
