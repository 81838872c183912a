"""How a case is made, as plain data that can be sent to another process or machine."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

from onnx_debug.data.errors import CaseError
from onnx_debug.session.case_file import load, made_by, make_case

LARGEST = 1_000_000  # bytes of a pickled callable: one that holds a model is larger
_LIST = "CASES"  # what a file of cases calls its list

Make = Callable[[], Any]


@dataclass(frozen=True)
class Recipe:
    """A case that can be made anywhere.

    Attributes:
        name: what the survey calls it.
        where: a file or a module; empty where `pickled` says it.
        function: of it; empty: its list of cases has the name.
        pickled: a callable that returns the case.
        code: the file whose code makes it, as far as that is known: when that changes, the answer is old.
    """

    name: str
    where: str = ""
    function: str = ""
    pickled: bytes = b""
    code: str = ""

    def make(self) -> dict[str, Any]:
        """The case, as keywords of `diagnose`.

        Raises:
            CaseFileError: the user's code raised an error, or returned no case.
        """
        if self.pickled:
            return made_by(lambda: pickle.loads(self.pickled)(), self.name)
        if self.function:
            return make_case(f"{self.where}:{self.function}")
        return made_by(_listed(self.where)[self.name], self.name)

    def fingerprint(self) -> str:
        """A hash of the code that makes it, the same wherever its file lies."""
        code = Path(self.code).read_bytes() if self.code else b""
        return hashlib.sha256(b"\0".join((code, self.pickled, self.function.encode()))).hexdigest()


def recipes(cases: str | Path | Mapping[str, Make | str]) -> dict[str, Recipe]:
    """The cases by name.

    Args:
        cases: a file with a dict `CASES`, or with functions that take nothing; or a name for each
            case and what makes it: a function, or `FILE.py:FUNCTION`.

    Raises:
        CaseError: one of them cannot be sent to another process.
        CaseFileError: the file cannot be read, or raised an error.
    """
    if isinstance(cases, Mapping):
        found = {name: _recipe(name, make) for name, make in cases.items()}
    else:
        where = str(Path(cases).resolve())
        found = {name: Recipe(name, where, code=where) for name in _listed(where)}
    if not found:
        raise CaseError(
            f"{cases} has no cases: no dict {_LIST}, and no function without arguments"
            if not isinstance(cases, Mapping)
            else "there are no cases to survey"
        )
    return found


def versions_of(found: Iterable[Recipe]) -> dict[str, str]:
    """The versions of the packages that these cases import, by their own code."""
    files = {recipe.code for recipe in found} - {""}
    names = {name for file in files for name in _imported(Path(file))}
    packages = importlib.metadata.packages_distributions()
    used = {package for name in names for package in packages.get(name, ())}
    return {package: importlib.metadata.version(package) for package in sorted(used)}


def _recipe(name: str, make: Make | str) -> Recipe:
    if isinstance(make, str):
        where, _, function = make.rpartition(":")
        if not where or not function:
            raise CaseError(f"case {name!r}: {make!r} is not of the form FILE.py:FUNCTION")
        code = str(Path(where).resolve()) if where.endswith(".py") else _file_of_module(where)
        return Recipe(name, code if where.endswith(".py") else where, function, code=code)
    innermost = _innermost(make)
    if getattr(innermost, "__module__", "") == "__main__":
        raise CaseError(
            f"case {name!r} is made by a function of a notebook or a script: other processes "
            "import what makes a case, so put it into a file of its own"
        )
    try:
        pickled = pickle.dumps(make)
    except Exception as error:
        raise CaseError(
            f"case {name!r} cannot be sent to another process ({error}): give a function of a "
            "module, or functools.partial of one"
        ) from error
    if len(pickled) > LARGEST:
        raise CaseError(
            f"case {name!r} holds {len(pickled) / 1e6:.0f} MB: give a function that makes the "
            "model, not the model"
        )
    return Recipe(name, pickled=pickled, code=_file_of(innermost))


def _innermost(make: Any) -> Any:
    """The function that a partial application hides."""
    while isinstance(make, functools.partial):
        make = make.func
    return make


def _file_of(function: Any) -> str:
    try:
        code = function if isinstance(function, FunctionType | type) else type(function)
        return inspect.getsourcefile(inspect.unwrap(code)) or ""
    except TypeError:  # of C
        return ""


def _file_of_module(name: str) -> str:
    try:
        found = importlib.util.find_spec(name)
    except ImportError as error:
        raise CaseError(f"there is no module {name!r} ({error})") from error
    return (found.origin or "") if found is not None and found.has_location else ""


def _listed(where: str) -> dict[str, Make]:
    """The cases of a file: its list, or else its public functions that need no arguments.

    Raises:
        CaseError: what it calls its list is none.
    """
    module = load(where)
    listed = getattr(module, _LIST, None)
    if listed is None:
        return {
            name: value
            for name, value in vars(module).items()
            if inspect.isfunction(value)
            and value.__module__ == module.__name__
            and not name.startswith("_")
            and all(_optional(one) for one in inspect.signature(value).parameters.values())
        }
    if not isinstance(listed, Mapping) or not all(
        isinstance(name, str) and callable(make) for name, make in listed.items()
    ):
        raise CaseError(f"{where}: {_LIST} must be a dict from a name to a function")
    return dict(listed)


def _optional(parameter: inspect.Parameter) -> bool:
    gathers = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return gathers or parameter.default is not parameter.empty


def _imported(file: Path) -> set[str]:
    """The first words of the modules that a file's code imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {one.name.partition(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found
