"""Other lines where the user's own decide by values or sizes that a capture does not know."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from onnx_debug.data.culprit import Culprit
from onnx_debug.data.failure import ClueKind
from onnx_debug.data.stage import Stage
from onnx_debug.request.case import Case
from onnx_debug.session.fixes.change import Change, Cost
from onnx_debug.session.fixes.rewrite import NoRewriteError, Rewrite, with_span


@dataclass(frozen=True)
class ChooseByWhere(Rewrite):
    """`torch.where` in place of an `if` on a tensor's value."""

    @property
    def title(self) -> str:
        """What to do."""
        return f"choose with torch.where in line {self.source.line}"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return "Both branches are computed, and their values are chosen by the condition."

    def edit(self, text: str, line: int) -> str:
        """The function with the line rewritten."""
        return chosen_by_where(text, line)


@dataclass(frozen=True)
class KeepSymbolic(Rewrite):
    """The line without `int()` around sizes."""

    @property
    def title(self) -> str:
        """What to do."""
        return f"leave int() out of line {self.source.line}"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return "A size stays symbolic; int() would make it the number that the given inputs have."

    def edit(self, text: str, line: int) -> str:
        """The function with the line rewritten."""
        return without_int(text, line)


@dataclass(frozen=True)
class DropTheCheck(Rewrite):
    """Without an `if` that only raises."""

    @property
    def title(self) -> str:
        """What to do."""
        return f"leave the check out of line {self.source.line}"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return "A file raises no exceptions: what the check guards against is to be looked at before it is run."

    def edit(self, text: str, line: int) -> str:
        """The function without the statement."""
        return without_check(text, line)


@dataclass(frozen=True)
class AlwaysOneWay(Rewrite):
    """One of the two ways of a branch, whatever the inputs are.

    Attributes:
        way: what the condition is taken for.
    """

    way: bool

    @property
    def title(self) -> str:
        """What to do."""
        return f"take the condition in line {self.source.line} for {self.way}"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return (
            "The file always goes one way. It was right on all inputs that were tried; "
            "inputs that need the other way would be answered wrongly."
        )

    @property
    def likely(self) -> bool:
        """It is the last resort."""
        return False

    @property
    def cost(self) -> Cost:
        """The file may answer fewer inputs."""
        return Cost.LESS

    def edit(self, text: str, line: int) -> str:
        """The function with the condition decided, wherever it is asked."""
        return decided(text, line, self.way)


def decided(text: str, line: int, way: bool) -> str:
    """The source of a function with `True` or `False` for the condition of the branch in this line, and for its repetitions.

    Raises:
        NoRewriteError: no branch begins there.
    """
    tests = [node.test for node in ast.walk(ast.parse(text)) if _branches(node)]
    here = [ast.dump(test) for test in tests if test.lineno <= line <= _end(test)]
    if not here:
        raise NoRewriteError("no branch begins in that line")
    same = [test for test in tests if ast.dump(test) == here[0]]
    for test in sorted(same, key=lambda test: (test.lineno, test.col_offset), reverse=True):
        text = with_span(text, test, str(way))
    return text


def _branches(node: ast.AST) -> TypeGuard[ast.If | ast.IfExp]:
    return isinstance(node, ast.If | ast.IfExp)


def without_check(text: str, line: int) -> str:
    """The source of a function without the `assert`, or the `if` that only raises, in this line.

    Raises:
        NoRewriteError: there is none, or nothing else is in its block.
    """
    for body in _bodies(ast.parse(text)):
        for node in body:
            raises = isinstance(node, ast.If) and not node.orelse
            raises = raises and all(isinstance(one, ast.Raise) for one in node.body)  # type: ignore[attr-defined]
            if not (raises or isinstance(node, ast.Assert)) or len(body) == 1:
                continue
            if node.lineno <= line <= _end(node):
                lines = text.splitlines(keepends=True)
                return "".join([*lines[: node.lineno - 1], *lines[_end(node) :]])
    raise NoRewriteError("no check stands in that line")


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
            return with_span(text, expression, ast.unparse(new))
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
            return with_span(text, node, inside if atom else f"({inside})")
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


def _end(node: ast.stmt | ast.expr) -> int:
    return node.end_lineno or node.lineno


def proposals(case: Case, culprit: Culprit) -> Iterator[Change]:
    """What the guilty line may be written as."""
    yield from (change for change in _proposals(culprit) if change.fits(case))


def _proposals(culprit: Culprit) -> Iterator[Rewrite]:
    source = culprit.source
    if source is None or culprit.failure.stage not in (Stage.CAPTURE, Stage.RUN, Stage.COMPARE):
        return
    kinds = {clue.kind for clue in culprit.failure.clues}
    if "int(" in source.text:
        yield KeepSymbolic(source)
    if kinds & {ClueKind.FRAME, ClueKind.TRACER_WARNING, ClueKind.BAKED}:
        yield ChooseByWhere(source)
        yield DropTheCheck(source)
    if culprit.failure.stage is Stage.CAPTURE and ClueKind.FRAME in kinds:
        yield from (AlwaysOneWay(source, way) for way in (False, True))
