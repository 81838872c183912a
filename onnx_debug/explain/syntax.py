"""What the source says around a line. No torch."""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
from types import FunctionType

from onnx_debug.data.outcome import Source

_LOOPS = (ast.For, ast.While)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def enclosing_loop(source: Source) -> Source | None:
    """The head of the innermost loop around a line, in the same function; None where there is none, or the file cannot be read."""
    try:
        tree = ast.parse("".join(linecache.getlines(source.file)))
    except (SyntaxError, ValueError):  # a notebook cell with magics
        return None
    found = None
    for node in ast.walk(tree):  # outer nodes come before those inside them
        if isinstance(node, _LOOPS + _FUNCTIONS) and node.lineno <= source.line <= (
            node.end_lineno or node.lineno
        ):
            found = node if isinstance(node, _LOOPS) else None
    if found is None:
        return None
    return source_at(source.file, found.lineno, source.function)


def source_at(file: str, line: int, function: str = "") -> Source:
    """A line of code, also of a notebook cell."""
    return Source(file, line, linecache.getline(file, line).strip(), function)


def only_return(function: FunctionType) -> Source | None:
    """The line of a function's return, where it has only one."""
    try:
        lines, start = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):
        return None
    returns = [node for node in ast.walk(tree) if isinstance(node, ast.Return)]
    file = function.__code__.co_filename
    if len(returns) != 1:
        return None
    return source_at(file, start + returns[0].lineno - 1, function.__name__)


def only_statement(function: Source) -> Source | None:
    """The line of a function's only statement: whatever the function does wrong, it does there.

    Args:
        function: the line at which its definition begins, decorators included.
    """
    try:
        tree = ast.parse("".join(linecache.getlines(function.file)))
    except (SyntaxError, ValueError):  # a notebook cell with magics
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and function.line in (
            node.lineno,
            *(mark.lineno for mark in node.decorator_list),
        ):
            body = [
                part
                for part in node.body
                if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            ]
            simple = len(body) == 1 and not isinstance(
                body[0], ast.If | ast.For | ast.While | ast.With | ast.Try
            )
            return source_at(function.file, body[0].lineno, function.function) if simple else None
    return None
