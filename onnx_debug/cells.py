"""Run the body of a notebook cell for a magic, and keep the value of its last expression."""

from __future__ import annotations

import ast
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def run(shell: InteractiveShell, body: str) -> Any:
    """Run the cell in the user's namespace; errors pass through.

    Returns:
        the value of the last expression; None when the cell ends with a statement.
    """
    __tracebackhide__ = True
    # The empty line stands for the magic's own, so that line numbers are those that the user sees.
    source = "\n" + shell.transform_cell(body)
    name = shell.compile.cache(source, shell.execution_count, raw_code=source)
    tree = shell.compile.ast_parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(shell.compile(tree, name, "exec"), shell.user_ns)
    return eval(shell.compile(ast.Expression(last.value), name, "eval"), shell.user_ns) if last else None


def raised_at_top(error: BaseException) -> int | None:
    """The line of the cell whose own code raised this; None when a function that it called did."""
    stack = traceback.extract_tb(error.__traceback__)
    return stack[-1].lineno if stack and stack[-1].name == "<module>" else None
