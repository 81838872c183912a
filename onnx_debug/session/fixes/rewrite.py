"""One function of the user's with other lines: found by the line that fails, rewritten as text, and put in its place in a copy."""

from __future__ import annotations

import ast
import difflib
import inspect
import linecache
import textwrap
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from onnx_debug.data.failure import Source
from onnx_debug.request.case import Case
from onnx_debug.session.fixes.change import Change, Cost

# Makes of the source of a function, and a line in it that counts from 1, the new source.
Edit = Callable[[str, int], str]


class NoRewriteError(Exception):
    """The lines cannot be rewritten; the message says why."""


@dataclass(frozen=True)
class Rewrite(Change):
    """Lines of the user's code, written otherwise.

    Attributes:
        source: the line that fails.
    """

    source: Source

    @property
    def likely(self) -> bool:
        """It answers to what fails."""
        return True

    @property
    def cost(self) -> Cost:
        """The user's own code changes."""
        return Cost.SOURCE

    def apply(self, case: Case) -> Case:
        """With the function rewritten, for every module of the class."""
        install(case.model, self.source, self.edit)
        return case

    def diff(self, case: Case) -> str:
        """What is changed in the file."""
        return diff(case.model, self.source, self.edit)

    def fits(self, case: Case) -> bool:
        """Whether the function can be rewritten so."""
        try:
            return bool(self.diff(case))
        except (NoRewriteError, SyntaxError):
            return False

    def edit(self, text: str, line: int) -> str:
        """The new source of the function whose `line`, counted from 1, fails.

        Raises:
            NoRewriteError: it has another form.
        """
        raise NotImplementedError


def name_of(node: ast.Attribute) -> ast.Name:
    """The last name of `value.name`, as an expression of its own: `value` may stand in parentheses."""
    line, end = node.end_lineno or node.lineno, node.end_col_offset or 0
    begin = end - len(node.attr.encode())
    return ast.Name(node.attr, lineno=line, col_offset=begin, end_lineno=line, end_col_offset=end)


def with_span(text: str, node: ast.expr, new: str) -> str:
    """The text with other words in the place of an expression of it."""
    lines = text.splitlines(keepends=True)
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    before = lines[first].encode()[: node.col_offset].decode()
    after = lines[last].encode()[node.end_col_offset :].decode()
    return "".join([*lines[:first], before + new + after, *lines[last + 1 :]])


@dataclass(frozen=True)
class _Place:
    """Where a function is kept: an attribute of a class or an entry of a module's globals."""

    function: types.FunctionType
    put: Callable[[Any], None]


def install(model: nn.Module, source: Source, edit: Edit) -> None:
    """Rewrite the function around a line, for every module that runs it.

    Raises:
        NoRewriteError: there is no such function, or it cannot be made anew.
    """
    place = _place(model, source)
    place.put(_compiled(place.function, _edited(place.function, source, edit)))


def diff(model: nn.Module, source: Source, edit: Edit) -> str:
    """What is changed, as a unified diff of the user's file.

    Raises:
        NoRewriteError: as `install`.
    """
    function = _place(model, source).function
    before, first = inspect.getsourcelines(function)
    indent = before[0][: len(before[0]) - len(before[0].lstrip())]
    text = textwrap.indent(_edited(function, source, edit), indent)
    after = text.splitlines(keepends=True)
    lines = list(difflib.unified_diff(before, after, source.file, source.file, n=2, lineterm="\n"))
    return "".join(_numbered(lines, first - 1))


def _numbered(lines: list[str], offset: int) -> Iterator[str]:
    """The hunks with the line numbers of the file, not of the function."""
    for line in lines:
        if not line.startswith("@@"):
            yield line
            continue
        old, new = line.split()[1:3]
        yield f"@@ {_moved(old, offset)} {_moved(new, offset)} @@\n"


def _moved(span: str, offset: int) -> str:
    start, comma, length = span[1:].partition(",")
    return f"{span[0]}{int(start) + offset}{comma}{length}"


def _place(model: nn.Module, source: Source) -> _Place:
    classes = dict.fromkeys(
        kind for module in model.modules() for kind in type(module).__mro__ if kind is not object
    )
    for kind in classes:
        for name, value in vars(kind).items():
            if _holds(value, source):
                return _Place(value, lambda new, kind=kind, name=name: setattr(kind, name, new))  # type: ignore[misc]
    for kind in classes:
        namespace = _globals_of(kind)
        for name, value in list(namespace.items()):
            if _holds(value, source):
                return _Place(value, lambda new, name=name, at=namespace: at.update({name: new}))  # type: ignore[misc]
    raise NoRewriteError("the function of that line is no method and no function of its module")


def _globals_of(kind: type) -> dict[str, Any]:
    forward = inspect.getattr_static(kind, "forward", None)
    return forward.__globals__ if isinstance(forward, types.FunctionType) else {}


def _holds(value: Any, source: Source) -> bool:
    if not isinstance(value, types.FunctionType) or value.__code__.co_filename != source.file:
        return False
    lines = [line for *_, line in value.__code__.co_lines() if line is not None]
    return bool(lines) and value.__code__.co_firstlineno <= source.line <= max(lines)


def _edited(function: types.FunctionType, source: Source, edit: Edit) -> str:
    linecache.checkcache(source.file)
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError) as error:
        raise NoRewriteError("its source cannot be read") from error
    text = textwrap.dedent("".join(lines))
    if text.lstrip().startswith("@"):
        raise NoRewriteError("the function has a decorator, which may change what it does")
    return edit(text, source.line - first + 1)


def _compiled(function: types.FunctionType, text: str) -> types.FunctionType:
    """The new function with the old one's names, defaults and closure."""
    free = function.__code__.co_freevars
    bound = f"    {' = '.join(free)} = None\n" if free else ""
    outer = f"def _around():\n{bound}{textwrap.indent(text, '    ')}\n"
    module = compile(outer, f"<rewritten {function.__name__}>", "exec")
    around = next(code for code in module.co_consts if isinstance(code, types.CodeType))
    code = next(code for code in around.co_consts if isinstance(code, types.CodeType))
    cells = dict(zip(free, function.__closure__ or (), strict=True))
    closure = tuple(cells[name] for name in code.co_freevars)
    made = types.FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, closure
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made
