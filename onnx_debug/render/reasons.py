"""Why a failure happened and what usually helps, in plain words.

Decided by types and attributes (stage, mode, exception type, kind of clue, operator), never by
matching messages: those change between releases. What no table knows is said by the message itself.
"""

from __future__ import annotations

from onnx_debug.data.culprit import Culprit
from onnx_debug.data.failure import Clue, ClueKind, Decision, Failure
from onnx_debug.data.stage import Mode, Stage
from onnx_debug.render.messages import first_line

_BY_MODE = {
    Mode.CRASH: "the process dies while it runs (no Python exception)",
    Mode.TIMEOUT: "does not end within the time limit",
    Mode.MEMORY: "needs more memory than the limit",
}
# What a capture cannot do, and what a trace does wrong without a word.
_BY_DECISION = {
    Decision.BRANCH_ON_VALUE: "branches on a tensor's value",
    Decision.SIZE_FROM_VALUE: "takes a number or a size out of a tensor's values",
    Decision.BRANCH_ON_SIZE: "branches on a size that depends on a tensor's values",
    Decision.LOOP_OVER_VALUES: "loops as a tensor's values say",
}
_FROZEN = {
    Decision.BRANCH_ON_VALUE: "tracing keeps the branch that the given inputs take",
    Decision.SIZE_FROM_VALUE: "tracing keeps the size or the number that the given inputs have",
    Decision.BRANCH_ON_SIZE: "tracing keeps the branch that the size of the given inputs takes",
    Decision.LOOP_OVER_VALUES: "tracing keeps as many steps of the loop as the given inputs take",
}
_BY_CLUE = {
    ClueKind.SCAN: "{op} has no ONNX translation",
    ClueKind.SPECIALIZATION: "hard-codes a dimension that was requested as dynamic",
    ClueKind.TRACER_WARNING: "tracing keeps a branch, a size or a value as the given inputs have it",
    ClueKind.BAKED: "a value computed from the inputs became a constant",
    ClueKind.VALUE: "its output differs between PyTorch and ONNX Runtime",
    ClueKind.RANDOM: "gives other values from run to run",
}
_BY_EXCEPTION = {
    "ConstraintViolationError": "hard-codes a dimension that was requested as dynamic",
    "DataDependentOutputException": "takes a tensor's value out into Python",
    "DispatchError": "{op} has no ONNX translation",
    "DynamicOutputShapeException": "the size of a result depends on a tensor's values",
    "GuardOnDataDependentSymNode": "control flow or a size depends on a tensor's values",
    "TorchRuntimeError": "an operation rejects its arguments under tracing",
    "UnsupportedOperatorError": "{op} has no ONNX translation",
    "UnsupportedOperatorException": "{op} does not say the shape of its result (no fake kernel)",
}
_BY_STAGE = {
    Stage.COMPARE: "ONNX Runtime returns other values than PyTorch",
    Stage.LOAD: "ONNX Runtime refuses the exported model",
    Stage.RUN: "ONNX Runtime fails while it runs the exported model",
}

_MASK = "compute all steps and select with a mask, in place of a loop that ends by a value."
_BY_DECISION_DO = {
    Decision.BRANCH_ON_VALUE: "choose with torch.where or torch.cond, or compute the flag outside the model and pass it in.",
    Decision.SIZE_FROM_VALUE: "keep sizes Python numbers (x.shape[i], an int argument), or say with torch._check what the number can be.",
    Decision.BRANCH_ON_SIZE: "say with torch._check which way the size always goes, or do it in every case (pad, slice) without asking.",
    Decision.LOOP_OVER_VALUES: _MASK,
}
_FROZEN_DO = {
    Decision.BRANCH_ON_VALUE: "choose with torch.where, or compute the flag outside the model and pass it in; dynamo=True has torch.cond.",
    Decision.SIZE_FROM_VALUE: "keep it a tensor (no int(), no .item()), or export with dynamo=True, which keeps sizes symbolic.",
    Decision.BRANCH_ON_SIZE: "do it in every case (pad, slice) without asking, or export with dynamo=True, which keeps sizes symbolic.",
    Decision.LOOP_OVER_VALUES: _MASK,
}
_TRANSLATION = {
    True: "write it with other operators, or pass custom_translation_table={{torch.ops.{call}: your_function}}.",
    False: "export with dynamo=True, which translates other operators, or write it with other operators.",
}
_BAKED = "compute it with tensor operations, or pass it in as an input"
_DO_BY_CLUE = {
    ClueKind.SPECIALIZATION: "keep that size symbolic (x.shape[i], no int(), no comparison), or leave the dimension out of dynamic_shapes.",
    ClueKind.TRACER_WARNING: "move the decision out of the model, or export with dynamo=True and torch.where or torch.cond.",
    ClueKind.DRIFT: "give the tolerances that fit the model's precision (atol=, rtol=), or export it in a wider type.",
    ClueKind.RANDOM: "call model.eval(), or pass the random tensor in as an input.",
}
_DO_BY_EXCEPTION = {
    "DataDependentOutputException": "keep the value a tensor (no .item(), float(), .numpy()), or compute it outside and pass it in.",
    "GuardOnDataDependentSymNode": "choose with torch.where or torch.cond, or compute it outside the model and pass it in.",
    "DynamicOutputShapeException": "use a mask of constant size in place of indexing by values.",
    "UnsupportedOperatorException": "register a fake kernel for it: torch.library.register_fake.",
}
_UNTRANSLATED = ("DispatchError", "UnsupportedOperatorError")
_DO_BY_MODE = {
    Mode.CRASH: "the native code that {this} calls is at fault; d.failure.details holds its last words.",
    Mode.TIMEOUT: "look for a loop that does not end under tracing, or give more time: timeout=300.",
    Mode.MEMORY: "export a smaller input, or raise memory_limit.",
}
_DO_BY_STAGE = {
    Stage.EAGER: "make the plain call model(*args, **kwargs) work first; nothing was exported.",
    Stage.OPTIONS: "correct the call of torch.onnx.export; no layer is to blame.",
    Stage.CAPTURE: "change what {this} does, or leave it out of the exported model; d.failure.details has the error in full.",
    Stage.TRANSLATE: "write {this} with other operators.",
    Stage.OPTIMIZE: "export with optimize=False to see whether the optimizer alone is at fault.",
    Stage.LOAD: "try another opset_version, or write {this} with other operators.",
    Stage.RUN: "check the shapes and dtypes that reach {this}; try {other}.",
    Stage.COMPARE: "write {this} with other operators; the exported model must not be used as it is.",
}
_OTHER_EXPORT = {True: "optimize=False", False: "dynamo=True"}


def why(culprit: Culprit) -> str:
    """The culprit's fault in plain words: one line, no full stop."""
    if culprit.reason:
        return first_line(culprit.reason)
    clue = clue_of(culprit.failure, culprit.fqn)
    return reason(culprit.failure, clue, culprit.op)


def reason(failure: Failure, clue: Clue | None = None, op: str | None = None) -> str:
    """A failure in plain words: one line, no full stop."""
    if failure.mode is not Mode.ERROR:
        return _BY_MODE[failure.mode]
    if clue and clue.reason:
        return first_line(clue.reason)
    op = op or failure.op or (clue.op if clue else None)
    if failure.known_from is not None:
        return f"{op_name(op)} has an ONNX translation from opset {failure.known_from} on only"
    if clue and clue.decision:
        return (_FROZEN if clue.kind is ClueKind.TRACER_WARNING else _BY_DECISION)[clue.decision]
    words = _BY_EXCEPTION.get(failure.exception_type) or (_BY_CLUE.get(clue.kind) if clue else None)
    if words:
        return words.format(op=op_name(op))
    return _with_message(failure, op)


def advice(
    failure: Failure,
    clue: Clue | None = None,
    op: str | None = None,
    *,
    dynamo: bool = True,
    line: bool = True,
) -> str:
    """What usually helps. Untried, so it must not be called a fix.

    Args:
        failure: what failed.
        clue: the best clue to it.
        op: the operator, where the clue does not name it.
        dynamo: which exporter was asked; what helps one means nothing to the other.
        line: whether a guilty line is shown, which the advice can then point to.
    """
    op = op or failure.op or (clue.op if clue else None)
    return _what_to_do(failure, clue, dynamo=dynamo).format(
        call=_torch_ops(op),
        this="this line" if line else "this module",
        other=_OTHER_EXPORT[dynamo],
    )


def _what_to_do(failure: Failure, clue: Clue | None, *, dynamo: bool) -> str:
    if failure.mode is not Mode.ERROR:
        return _DO_BY_MODE[failure.mode]
    if failure.known_from is not None:
        return f"pass opset_version={failure.known_from}, or a later one."
    if clue and clue.decision:
        return (_BY_DECISION_DO if dynamo else _FROZEN_DO)[clue.decision]
    kind = clue.kind if clue else None
    if kind is ClueKind.SCAN or failure.exception_type in _UNTRANSLATED:
        return _TRANSLATION[dynamo]
    if kind is ClueKind.BAKED:
        return (
            f"{_BAKED}{'.' if dynamo else '; dynamo=True keeps more of Python than tracing does.'}"
        )
    return (
        _DO_BY_EXCEPTION.get(failure.exception_type)
        or (_DO_BY_CLUE.get(kind) if kind else None)
        or _DO_BY_STAGE[failure.stage]
    )


def clue_of(failure: Failure, fqn: str) -> Clue | None:
    """The best clue for that module: the first that names it, else the first of all."""
    named = (clue for clue in failure.clues if clue.fqn == fqn)
    return next(named, failure.clues[0] if failure.clues else None)


def op_name(op: str | None) -> str:
    """`aten::linalg_qr.default` -> `aten::linalg_qr`; other overloads are kept."""
    return op.removesuffix(".default") if op else "an operator"


def _torch_ops(op: str | None) -> str:
    """`aten::linalg_qr` -> `aten.linalg_qr.default`, as it hangs below `torch.ops`."""
    namespace, _, name = (op or "<namespace>::<operator>").partition("::")
    return f"{namespace}.{name if '.' in name else name + '.default'}"


def _with_message(failure: Failure, op: str | None) -> str:
    """Nothing better is known: the exception's own words. What a stage's failure means stands in the headline already."""
    message = first_line(failure.message)
    if failure.stage in _BY_STAGE:
        return message or _BY_STAGE[failure.stage]
    said = ": ".join(part for part in (failure.exception_type, message) if part)
    if failure.stage is Stage.TRANSLATE and op:
        return f"the translation of {op_name(op)} fails ({said})"
    return said or f"{failure.stage} fails"
