"""Where code stands: which modules a clean process can import, and the statements of the others."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import site
import sys
import sysconfig
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TYPED = ("<ipython-input", "<python-input", "<stdin>")


@dataclass(frozen=True)
class Statement:
    """One statement of a file.

    Attributes:
        text: without the indentation of the place where it stands.
        node: its syntax.
    """

    file: str
    line: int
    text: str
    node: ast.stmt


def is_installed(module: str | None) -> bool:
    """Whether a clean process finds this module: Python's own, or one that is installed."""
    if module is None or module == "__main__":
        return False
    found = sys.modules.get(module)
    file = getattr(found, "__file__", None)
    if file is None:
        return module.partition(".")[0] in sys.builtin_module_names or found is not None
    path = Path(file).resolve()
    return any(path.is_relative_to(folder) for folder in _installations())


@functools.cache
def _installations() -> tuple[Path, ...]:
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return tuple(Path(folder).resolve() for folder in {*folders, *site.getsitepackages()})


def definition(obj: Any) -> Statement | None:
    """The statement that defines a class or a function; None where its source cannot be read."""
    if isinstance(obj, type):
        return _class_definition(obj)
    code = getattr(inspect.unwrap(obj), "__code__", None)
    if code is None or code.co_name == "<lambda>":
        return None
    for node in _nodes(code.co_filename, ast.FunctionDef):
        if node.name == code.co_name and _first_line(node) == code.co_firstlineno:
            return _statement(code.co_filename, node)
    return None


def _class_definition(kind: type) -> Statement | None:
    """A class has no line of its own before Python 3.13, so one of its functions tells where it stands."""
    own = [
        value.__code__
        for value in map(_function, vars(kind).values())
        if value is not None and value.__qualname__.startswith(f"{kind.__qualname__}.")
    ]
    for code in own:
        nodes = [
            node for node in _nodes(code.co_filename, ast.ClassDef) if node.name == kind.__name__
        ]
        holding = [node for node in nodes if _holds(node, code.co_firstlineno)]
        if holding:
            return _statement(code.co_filename, holding[-1])
    files = [getattr(sys.modules.get(kind.__module__), "__file__", None) or "", *_typed_files()]
    for file in files:
        for node in _nodes(file, ast.ClassDef):
            if node.name == kind.__name__:
                return _statement(file, node)
    return None


def _function(value: Any) -> types.FunctionType | None:
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, property):
        value = value.fget
    return value if isinstance(value, types.FunctionType) else None


def functions_of(obj: Any) -> Iterator[types.FunctionType]:
    """A function itself, or those that a class defines."""
    if isinstance(obj, type):
        yield from (found for value in vars(obj).values() if (found := _function(value)))
    elif isinstance(inspect.unwrap(obj), types.FunctionType):
        yield inspect.unwrap(obj)


def statements(file: str) -> list[Statement]:
    """The statements of a file, without those inside of others; conditions at the top are looked into."""
    return [_statement(file, node) for node in _top(_parsed(file))]


def _top(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in nodes:
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from _top(node.body)
        else:
            yield node


def sources_of(namespace: dict[str, Any], file: str) -> list[str]:
    """The files whose statements made these names: the module's own, or the cells of a notebook, the latest first."""
    own = namespace.get("__file__")
    if namespace.get("__name__") == "__main__":
        return [file, *_typed_files(), *([own] if own else [])]
    return [own] if own else [file]


def _typed_files() -> list[str]:
    """What was typed at a prompt or in a notebook's cells, the latest first."""
    return [
        name
        for name in reversed(list(linecache.cache))
        if name.startswith(_TYPED) or "ipykernel_" in Path(name).parent.name
    ]


def _parsed(file: str) -> list[ast.stmt]:
    try:
        return ast.parse("".join(linecache.getlines(file))).body
    except SyntaxError:
        return []


def _nodes(file: str, kind: Any) -> Iterator[Any]:
    for statement in _parsed(file):
        yield from (node for node in ast.walk(statement) if isinstance(node, kind))


def _holds(node: ast.stmt, line: int) -> bool:
    return _first_line(node) <= line <= (node.end_lineno or node.lineno)


def _first_line(node: ast.stmt) -> int:
    """A decorated definition begins at its first decorator."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(one.lineno for one in decorators)])


def _statement(file: str, node: ast.stmt) -> Statement:
    lines = linecache.getlines(file)[_first_line(node) - 1 : node.end_lineno]
    text = "".join(lines)
    if len(lines) == 1 and not hasattr(node, "body"):  # others may stand on the same line
        text = ast.get_source_segment("".join(linecache.getlines(file)), node) or text
    return Statement(file, _first_line(node), textwrap.dedent(text).rstrip(), node)
