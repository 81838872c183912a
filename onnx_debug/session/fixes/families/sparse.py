"""Dense tensors in the place of sparse ones, which ONNX does not have."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from onnx_debug.data.culprit import Culprit
from onnx_debug.data.stage import Stage
from onnx_debug.request.case import Case
from onnx_debug.session.fixes.change import Change
from onnx_debug.session.fixes.rewrite import NoRewriteError, Rewrite, name_of, with_span

_TO_SPARSE = ("to_sparse", "to_sparse_coo", "to_sparse_csr", "to_sparse_csc")
_DENSE = {"torch.sparse.mm": "torch.mm", "torch.sparse.addmm": "torch.addmm"}


@dataclass(frozen=True)
class StayDense(Rewrite):
    """The function without sparse tensors."""

    @property
    def title(self) -> str:
        """What to do."""
        return f"compute line {self.source.line} with dense tensors"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return "ONNX has no sparse tensors. The same product is computed, zeros included, which takes more memory."

    def edit(self, text: str, line: int) -> str:
        """The function with every conversion to a sparse tensor left out."""
        del line
        return without_sparse(text)


def without_sparse(text: str) -> str:
    """The source of a function in which no tensor is made sparse.

    Raises:
        NoRewriteError: it makes none.
    """
    changed = text
    while (found := next(_sparse(ast.parse(changed)), None)) is not None:
        changed = with_span(changed, *found)
    if changed == text:
        raise NoRewriteError("the function makes no tensor sparse")
    return changed


def _sparse(tree: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Each sparse expression, with what takes its place: the ending `.to_sparse()` is cut off."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in _DENSE:
            yield node, _DENSE[ast.unparse(node)]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _TO_SPARSE
        ):
            ending = name_of(node.func)
            ending.col_offset -= 1  # the dot
            ending.end_lineno, ending.end_col_offset = node.end_lineno, node.end_col_offset
            yield ending, ""


def proposals(case: Case, culprit: Culprit) -> Iterator[Change]:
    """Where the guilty function makes a tensor sparse."""
    if culprit.source is None or culprit.failure.stage in (Stage.EAGER, Stage.OPTIONS):
        return
    change = StayDense(culprit.source)
    if change.fits(case):
        yield change
