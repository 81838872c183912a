"""Why a failure happened and what usually helps, in plain words.

Decided by types and attributes (stage, mode, exception type, kind of clue, operator), never by
matching messages: those change between releases. What no table knows is said by the message's first
line.
"""

from __future__ import annotations

from onnx_debug.data.diagnosis import Culprit
from onnx_debug.data.outcome import Clue, ClueKind, Failure, Mode, Stage

LONGEST_REASON = 110

_BY_MODE = {
    Mode.CRASH: "the process dies while it runs (no Python exception)",
    Mode.TIMEOUT: "does not end within the time limit",
    Mode.MEMORY: "needs more memory than the limit",
}
_BY_CLUE = {
    ClueKind.SCAN: "{op} has no ONNX translation",
    ClueKind.SPECIALIZATION: "fixes a dimension that was asked to be dynamic",
    ClueKind.TRACER_WARNING: "tracing freezes a branch, a size or a value as the given inputs have it",
    ClueKind.BAKED: "a value computed from the inputs became a constant",
    ClueKind.VALUE: "its output differs between eager and ONNX Runtime",
    ClueKind.RANDOM: "gives other values from run to run",
}
_BY_EXCEPTION = {
    "ConstraintViolationError": "fixes a dimension that was asked to be dynamic",
    "DataDependentOutputException": "takes a tensor's value out into Python",
    "DispatchError": "{op} has no ONNX translation",
    "DynamicOutputShapeException": "the size of a result depends on a tensor's values",
    "GuardOnDataDependentSymNode": "branches, or picks a size, on a tensor's value",
    "TorchRuntimeError": "an operation rejects its arguments under tracing",
    "UnsupportedOperatorError": "{op} has no ONNX translation",
    "UnsupportedOperatorException": "{op} does not say the shape of its result (no fake kernel)",
}
_BY_STAGE = {
    Stage.COMPARE: "ONNX Runtime answers otherwise than eager",
    Stage.LOAD: "ONNX Runtime refuses the exported model",
    Stage.RUN: "ONNX Runtime fails while it runs the exported model",
}

_ADVICE_BY_CLUE = {
    ClueKind.SCAN: "write it with other operators, or pass custom_translation_table={{torch.ops.{call}: your_function}}.",
    ClueKind.SPECIALIZATION: "keep that size symbolic (x.shape[i], no int(), no comparison), or leave the dimension out of dynamic_shapes.",
    ClueKind.TRACER_WARNING: "move the decision out of the model, or export with dynamo=True and torch.where or torch.cond.",
    ClueKind.BAKED: "compute it with tensor operations, or pass it in as an input; dynamo=True keeps more of Python than tracing does.",
    ClueKind.DRIFT: "give the tolerances that fit the model's precision (atol=, rtol=), or export it in a wider type.",
    ClueKind.RANDOM: "call model.eval(), or pass the random tensor in as an input.",
}
_ADVICE_BY_EXCEPTION = {
    "DataDependentOutputException": "keep the value a tensor (no .item(), float(), .numpy()), or compute it outside and pass it in.",
    "GuardOnDataDependentSymNode": "choose with torch.where or torch.cond, or compute the flag outside the model and pass it in.",
    "DynamicOutputShapeException": "use a mask of fixed size in place of indexing by values.",
    "DispatchError": _ADVICE_BY_CLUE[ClueKind.SCAN],
    "UnsupportedOperatorError": _ADVICE_BY_CLUE[ClueKind.SCAN],
    "UnsupportedOperatorException": "register a fake kernel for it: torch.library.register_fake.",
}
_ADVICE_BY_MODE = {
    Mode.CRASH: "the native code that this line calls is at fault; d.failure.details holds its last words.",
    Mode.TIMEOUT: "look for a loop that does not end under tracing, or give more time: timeout=300.",
    Mode.MEMORY: "export a smaller input, or raise memory_limit.",
}
_ADVICE_BY_STAGE = {
    Stage.EAGER: "make the plain call model(*args, **kwargs) work first; nothing was exported.",
    Stage.OPTIONS: "correct the call of torch.onnx.export; no layer is to blame.",
    Stage.CAPTURE: "change what this line does, or leave it out of the exported model; d.failure.details has the error in full.",
    Stage.TRANSLATE: "write this line with other operators.",
    Stage.OPTIMIZE: "export with optimize=False to see whether the optimizer alone is at fault.",
    Stage.LOAD: "try another opset_version, or write this line with other operators.",
    Stage.RUN: "check the shapes and dtypes that reach this line; try optimize=False.",
    Stage.COMPARE: "write this line with other operators; the exported model must not be used as it is.",
}


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
    words = _BY_EXCEPTION.get(failure.exception_type) or (_BY_CLUE.get(clue.kind) if clue else None)
    if words:
        return words.format(op=op_name(op))
    return _with_message(failure)


def advice(failure: Failure, clue: Clue | None = None, op: str | None = None) -> str:
    """What usually helps. Untried, so it must not be called a fix."""
    if failure.mode is not Mode.ERROR:
        return _ADVICE_BY_MODE[failure.mode]
    words = (
        _ADVICE_BY_EXCEPTION.get(failure.exception_type)
        or (_ADVICE_BY_CLUE.get(clue.kind) if clue else None)
        or _ADVICE_BY_STAGE[failure.stage]
    )
    op = op or failure.op or (clue.op if clue else None)
    return words.format(call=_torch_ops(op))


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


def first_line(message: str, longest: int = LONGEST_REASON) -> str:
    """The first line that says something, shortened, without a full stop at its end."""
    line = next((line.strip() for line in message.splitlines() if line.strip()), "")
    return shorten(line.rstrip(".:"), longest)


def shorten(text: str, longest: int) -> str:
    """Cut at the end, with an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def _with_message(failure: Failure) -> str:
    """Nothing better is known: the exception's own words, after what the stage makes of them."""
    stage = _BY_STAGE.get(failure.stage)
    message = first_line(failure.message)
    if stage:
        return f"{stage} ({shorten(message, 70)})" if message else stage
    return (
        ": ".join(part for part in (failure.exception_type, message) if part)
        or f"{failure.stage} fails"
    )
