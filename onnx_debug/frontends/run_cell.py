"""Run the body of a notebook cell for a magic, and keep the value of its last expression."""

from __future__ import annotations

import ast
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def run(shell: InteractiveShell, cell: str) -> Any:
    """Run the cell in the user's namespace; errors pass through.

    Returns:
        the value of the last expression; None when the cell ends with a statement.
    """
    __tracebackhide__ = True
    # The empty line stands for the magic's own, so that line numbers are those that the user sees.
    source = "\n" + shell.transform_cell(cell)
    name = shell.compile.cache(source, _number(shell), raw_code=source)
    *body, last = cast(ast.Module, shell.compile.ast_parse(source, name)).body or [
        ast.Pass(lineno=1, col_offset=0)
    ]
    flags = shell.compile.flags  # the `from __future__` imports of earlier cells
    if not isinstance(last, ast.Expr):
        body, last = [*body, last], ast.Expr(ast.Constant(None, lineno=1, col_offset=0))
    exec(compile(ast.Module(body, []), name, "exec", flags, dont_inherit=True), shell.user_ns)
    return eval(
        compile(ast.Expression(last.value), name, "eval", flags, dont_inherit=True), shell.user_ns
    )


def _number(shell: InteractiveShell) -> int:
    """The running cell's number. `execution_count` is one ahead of it in some versions of IPython."""
    return (
        len(shell.history_manager.input_hist_raw) - 1
        if shell.history_manager
        else shell.execution_count
    )


def raised_at_top(error: BaseException) -> int | None:
    """The line of the cell whose own code raised this; None when a function that it called did."""
    stack = traceback.extract_tb(error.__traceback__)
    return stack[-1].lineno if stack and stack[-1].name == "<module>" else None


def raising_line(error: BaseException) -> str:
    """The source line that raised this, in the cell or in a library."""
    return traceback.extract_tb(error.__traceback__)[-1].line or ""


def lines_not_run(shell: InteractiveShell, cell: str, error: BaseException) -> range:
    """The lines of the cell, from its first statement to its last, that were not run because of this error."""
    reached = _reached(shell, error)
    body = ast.parse("\n" + shell.transform_cell(cell)).body
    left = [node for node in _skipped(body) if reached and node.lineno > reached]
    if not left:
        return range(0)
    return range(left[0].lineno, max(node.end_lineno or node.lineno for node in left) + 1)


def _reached(shell: InteractiveShell, error: BaseException) -> int:
    """The last line of the expression in the cell's own code that raised this."""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if trace.tb_frame.f_globals is shell.user_ns and code.co_name == "<module>":
            _, end, _, _ = list(code.co_positions())[trace.tb_lasti // 2]
            return end or trace.tb_lineno
        trace = trace.tb_next
    return 0


def _skipped(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that an error ends, in order: all but those of a `finally`."""
    for node in body:
        yield node
        for name in ("body", "handlers", "orelse"):
            yield from _skipped(getattr(node, name, []))
