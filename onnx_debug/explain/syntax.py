"""What the source says around a line. No torch."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import textwrap
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from onnx_debug.data.failure import Decision, Source

# What tells a size apart from a value: `x.shape[0]`, `x.size(0)`, `len(x)`, `x.numel()`.
_SIZES = {"shape", "size", "numel", "len"}
_LOOPS = (ast.For, ast.While)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def enclosing_loop(source: Source) -> Source | None:
    """The head of the innermost loop around a line, in the same function; None where there is none, or the file cannot be read."""
    tree = _parsed(source.file)
    if tree is None:
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


def decision(source: Source) -> Decision | None:
    """What a line decides by values that a capture does not know, given that it does; None where the file cannot be read."""
    tree = _parsed(source.file)
    if tree is None:
        return None
    spanning = _around(tree, source.line, ast.stmt)
    # `if x.sum() > 0: return x` holds a statement of its own.
    starting = [statement for statement in spanning if statement.lineno == source.line]
    statement = next(iter(starting), spanning[-1] if spanning else None)
    if statement is None:
        return None
    if isinstance(statement, _LOOPS):
        return Decision.LOOP_OVER_VALUES
    if isinstance(statement, ast.If) and any(
        isinstance(part, ast.Break) for part in statement.body
    ):
        return Decision.LOOP_OVER_VALUES
    tests = list(_tests(statement))
    if not tests:
        return Decision.SIZE_FROM_VALUE
    functions = _around(tree, source.line, ast.FunctionDef)
    named = {part.id for test in tests for part in ast.walk(test) if isinstance(part, ast.Name)}
    made = _assigned(functions[-1], named) if functions else []
    sizes = any(_reads_size(expression) for expression in (*tests, *made))
    return Decision.BRANCH_ON_SIZE if sizes else Decision.BRANCH_ON_VALUE


def _tests(statement: ast.stmt) -> Iterator[ast.expr]:
    """What a statement branches on; of a compound statement, its head only."""
    if isinstance(statement, ast.If | ast.Assert):
        yield statement.test
        return
    for part in ast.walk(statement):
        if isinstance(part, ast.IfExp):
            yield part.test
        elif isinstance(part, ast.comprehension):
            yield from part.ifs


def _assigned(function: ast.AST, names: set[str]) -> list[ast.expr]:
    """The expressions that a function assigns to names."""
    return [
        part.value
        for part in ast.walk(function)
        if isinstance(part, ast.Assign)
        and names
        & {
            one.id
            for target in part.targets
            for one in ast.walk(target)
            if isinstance(one, ast.Name)
        }
    ]


def _reads_size(expression: ast.expr) -> bool:
    return any(
        (isinstance(part, ast.Attribute) and part.attr in _SIZES)
        or (isinstance(part, ast.Name) and part.id in _SIZES)
        for part in ast.walk(expression)
    )


def _around(tree: ast.AST, line: int, kind: type[ast.AST]) -> list[Any]:
    """The nodes of a kind that span a line, outermost first."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, kind) and node.lineno <= line <= (node.end_lineno or node.lineno)  # type: ignore[attr-defined]
    ]


def _parsed(file: str) -> ast.Module | None:
    """The syntax of a file; None for what is not Python alone, such as a notebook cell with magics."""
    return _parse("".join(linecache.getlines(file)))


@functools.lru_cache(maxsize=8)
def _parse(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


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
    tree = _parsed(function.file)
    if tree is None:
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
