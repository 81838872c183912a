"""Other lines where the user's own decide by values or sizes that a capture does not know."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from onnx_debug.data.culprit import Culprit
from onnx_debug.data.failure import ClueKind, Source
from onnx_debug.data.stage import Stage
from onnx_debug.request.case import Case
from onnx_debug.session.fixes import rewrite
from onnx_debug.session.fixes.change import Change, Cost
from onnx_debug.session.fixes.rewrite import NoRewriteError


@dataclass(frozen=True)
class _Rewrite(Change):
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
        rewrite.install(case.model, self.source, self._edit)
        return case

    def diff(self, case: Case) -> str:
        """What is changed in the file."""
        return rewrite.diff(case.model, self.source, self._edit)

    def _edit(self, text: str, line: int) -> str:
        raise NotImplementedError


@dataclass(frozen=True)
class ChooseByWhere(_Rewrite):
    """`torch.where` in place of an `if` on a tensor's value."""

    @property
    def title(self) -> str:
        """What to do."""
        return f"choose with torch.where in line {self.source.line}"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return "Both branches are computed, and their values are chosen by the condition."

    def _edit(self, text: str, line: int) -> str:
        return chosen_by_where(text, line)


@dataclass(frozen=True)
class KeepSymbolic(_Rewrite):
    """The line without `int()` around sizes."""

    @property
    def title(self) -> str:
        """What to do."""
        return f"leave int() out of line {self.source.line}"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return "A size stays symbolic; int() would make it the number that the given inputs have."

    def _edit(self, text: str, line: int) -> str:
        return without_int(text, line)


def chosen_by_where(text: str, line: int) -> str:
    """The source of a function with the `if` at this line as a call of `torch.where`.

    Raises:
        NoRewriteError: the statement has another form than two values of one name, or two returns.
    """
    tree = ast.parse(text)
    for body in _bodies(tree):
        for position, node in enumerate(body):
            if isinstance(node, ast.If) and node.lineno <= line <= (node.test.end_lineno or 0):
                following = body[position + 1] if position + 1 < len(body) else None
                return _replaced(text, node, following)
    for expression in ast.walk(tree):
        if isinstance(expression, ast.IfExp) and expression.lineno <= line <= _end(expression):
            new = _where(expression.test, expression.body, expression.orelse)
            return _with_span(text, expression, ast.unparse(new))
    raise NoRewriteError("no branch begins in that line")


def without_int(text: str, line: int) -> str:
    """The source of a function with `int(x)` as `x` in this line.

    Raises:
        NoRewriteError: the line calls no `int`.
    """
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "int"
            and len(node.args) == 1
            and node.lineno <= line <= _end(node)
        ):
            inside = ast.get_source_segment(text, node.args[0]) or ast.unparse(node.args[0])
            atom = isinstance(node.args[0], ast.Name | ast.Call | ast.Attribute | ast.Subscript)
            return _with_span(text, node, inside if atom else f"({inside})")
    raise NoRewriteError("the line calls no int()")


def _bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            found = getattr(node, name, None)
            if isinstance(found, list):
                yield found


def _replaced(text: str, node: ast.If, following: ast.stmt | None) -> str:
    yes, no = _only(node.body), _only(node.orelse) if node.orelse else None
    end = _end(node)
    if isinstance(yes, ast.Return) and yes.value is not None:
        other = no if node.orelse else following
        if not isinstance(other, ast.Return) or other.value is None:
            raise NoRewriteError("only one of the two branches returns")
        end = max(end, _end(other))
        new: ast.stmt = ast.Return(_where(node.test, yes.value, other.value))
    elif isinstance(yes, ast.Assign) and len(yes.targets) == 1:
        target = yes.targets[0]
        if not isinstance(target, ast.Name):
            raise NoRewriteError("the branch sets something else than a variable")
        new = ast.Assign([target], _where(node.test, yes.value, _other_value(target, no)))
    elif isinstance(yes, ast.AugAssign) and isinstance(yes.target, ast.Name) and no is None:
        old = ast.Name(yes.target.id, ast.Load())
        changed = ast.BinOp(old, yes.op, yes.value)
        new = ast.Assign([ast.Name(yes.target.id, ast.Store())], _where(node.test, changed, old))
    else:
        raise NoRewriteError("the branches do more than to choose one value")
    lines = text.splitlines(keepends=True)
    written = " " * node.col_offset + ast.unparse(ast.fix_missing_locations(new)) + "\n"
    return "".join([*lines[: node.lineno - 1], written, *lines[end:]])


def _only(body: list[ast.stmt]) -> ast.stmt:
    if len(body) != 1:
        raise NoRewriteError("a branch has several statements")
    return body[0]


def _other_value(target: ast.Name, no: ast.stmt | None) -> ast.expr:
    if no is None:
        return ast.Name(target.id, ast.Load())
    same = isinstance(no, ast.Assign) and [ast.unparse(t) for t in no.targets] == [target.id]
    if not same or not isinstance(no, ast.Assign):
        raise NoRewriteError("the two branches set different variables")
    return no.value


def _where(test: ast.expr, yes: ast.expr, no: ast.expr) -> ast.Call:
    where = ast.parse("torch.where", mode="eval").body
    return ast.Call(where, [_condition(test), yes, no], [])


def _condition(test: ast.expr) -> ast.expr:
    """The condition as a tensor: without `bool()` and `.item()`, with logical functions for `and`, `or` and `not`."""
    if isinstance(test, ast.BoolOp):
        name = "torch.logical_and" if isinstance(test.op, ast.And) else "torch.logical_or"
        first, *others = map(_condition, test.values)
        for other in others:
            first = ast.Call(ast.parse(name, mode="eval").body, [first, other], [])
        return first
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        negation = ast.parse("torch.logical_not", mode="eval").body
        return ast.Call(negation, [_condition(test.operand)], [])
    if isinstance(test, ast.Call) and len(test.args) == 1 and isinstance(test.func, ast.Name):
        return _condition(test.args[0]) if test.func.id == "bool" else test
    if isinstance(test, ast.Compare):
        sides = [_tensor(side) for side in (test.left, *test.comparators)]
        return ast.Compare(sides[0], test.ops, sides[1:])
    return _tensor(test)


def _tensor(side: ast.expr) -> ast.expr:
    """What `.item()` is called on, or what is in `float()`; `int()` would cut the number off."""
    if isinstance(side, ast.Call) and isinstance(side.func, ast.Attribute):
        return side.func.value if side.func.attr == "item" and not side.args else side
    if isinstance(side, ast.Call) and isinstance(side.func, ast.Name) and len(side.args) == 1:
        return _tensor(side.args[0]) if side.func.id == "float" else side
    return side


def _with_span(text: str, node: ast.expr, new: str) -> str:
    lines = text.splitlines(keepends=True)
    first, last = node.lineno - 1, _end(node) - 1
    before = lines[first].encode()[: node.col_offset].decode()
    after = lines[last].encode()[node.end_col_offset :].decode()
    return "".join([*lines[:first], before + new + after, *lines[last + 1 :]])


def _end(node: ast.stmt | ast.expr) -> int:
    return node.end_lineno or node.lineno


def proposals(case: Case, culprit: Culprit) -> Iterator[Change]:
    """What the guilty line may be written as."""
    for change in _proposals(culprit):
        with contextlib.suppress(NoRewriteError, SyntaxError):
            change.diff(case)
            yield change


def _proposals(culprit: Culprit) -> Iterator[Change]:
    source = culprit.source
    if source is None or culprit.failure.stage not in (Stage.CAPTURE, Stage.RUN, Stage.COMPARE):
        return
    kinds = {clue.kind for clue in culprit.failure.clues}
    if "int(" in source.text:
        yield KeepSymbolic(source)
    if kinds & {ClueKind.FRAME, ClueKind.TRACER_WARNING, ClueKind.BAKED}:
        yield ChooseByWhere(source)
