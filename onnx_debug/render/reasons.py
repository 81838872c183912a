"""Why a failure happened and what usually helps, in plain words.

What is known stands in `knowledge`, as data. What no special entry knows is said by the message itself.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from onnx_debug.data.culprit import Culprit
from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.failure import Clue, Failure
from onnx_debug.data.stage import Mode, Stage
from onnx_debug.render.knowledge.catalogue import find
from onnx_debug.render.knowledge.entry import Entry, Facts
from onnx_debug.render.messages import first_line
from onnx_debug.render.voice import PYTHON, Voice

# What a stage's failure means stands in the headline already.
_SAID_BY_THE_HEADLINE = (Stage.LOAD, Stage.RUN, Stage.COMPARE)


def cause(culprit: Culprit) -> Entry:
    """What is known of the culprit's fault."""
    return find(_facts(culprit.failure, clue_of(culprit.failure, culprit.fqn), culprit.op))


def cause_of_all(d: Diagnosis) -> Entry | None:
    """What is known of the failure of the whole; None where there is none."""
    if d.failure is None:
        return None
    facts = _facts(d.failure, clue_of(d.failure, ""))
    return find(replace(facts, request=d.request_fault if d.request else None))


def codes(d: Diagnosis) -> tuple[str, ...]:
    """The code of each culprit's cause, in their order; of the failure where a request or nobody is to blame."""
    if d.culprits and not d.request:
        return tuple(cause(culprit).code for culprit in d.culprits)
    whole = cause_of_all(d)
    return (whole.code,) if whole else ()


def why(culprit: Culprit) -> str:
    """The culprit's fault in plain words: one line, no full stop."""
    if culprit.reason:
        return first_line(culprit.reason)
    clue = clue_of(culprit.failure, culprit.fqn)
    return reason(culprit.failure, clue, culprit.op)


def reason(failure: Failure, clue: Clue | None = None, op: str | None = None) -> str:
    """A failure in plain words: one line, no full stop."""
    if clue and clue.reason and failure.mode is Mode.ERROR:
        return first_line(clue.reason)
    facts = _facts(failure, clue, op)
    entry = find(facts)
    if entry.quotes:
        return _with_message(failure, facts.op) or entry.title
    if facts.op and entry.of_operator:
        return entry.of_operator.format(op=op_name(facts.op), opset=failure.known_from)
    return entry.title


def advice(
    failure: Failure,
    clue: Clue | None = None,
    op: str | None = None,
    *,
    dynamo: bool = True,
    line: bool = True,
    voice: Voice = PYTHON,
) -> str:
    """What usually helps. Untried, so it must not be called a fix.

    Args:
        failure: what failed.
        clue: the best clue to it.
        op: the operator, where the clue does not name it.
        dynamo: which exporter was asked; what helps one means nothing to the other.
        line: whether a guilty line is shown, which the advice can then point to.
        voice: how to name what the reader has at hand.
    """
    facts = _facts(failure, clue, op)
    return (
        find(facts)
        .cure(dynamo=dynamo)
        .format(
            call=_torch_ops(facts.op),
            opset=failure.known_from,
            this="this line" if line else "this module",
            **asdict(voice),
        )
    )


def _facts(failure: Failure, clue: Clue | None, op: str | None = None) -> Facts:
    return Facts(failure, clue, op or failure.op or (clue.op if clue else None))


def clue_of(failure: Failure, fqn: str) -> Clue | None:
    """The best clue for that module: the first that names it, else the first of all."""
    named = (clue for clue in failure.clues if clue.fqn == fqn)
    return next(named, failure.clues[0] if failure.clues else None)


def op_name(op: str) -> str:
    """`aten::linalg_qr.default` -> `aten::linalg_qr`; other overloads are kept."""
    return op.removesuffix(".default")


def _torch_ops(op: str | None) -> str:
    """`aten::linalg_qr` -> `aten.linalg_qr.default`, as it hangs below `torch.ops`."""
    namespace, _, name = (op or "<namespace>::<operator>").partition("::")
    return f"{namespace}.{name if '.' in name else name + '.default'}"


def _with_message(failure: Failure, op: str | None) -> str:
    """The exception's own words; empty where it has none."""
    message = first_line(failure.message)
    if failure.stage in _SAID_BY_THE_HEADLINE:
        return message
    said = ": ".join(part for part in (failure.exception_type, message) if part)
    if failure.stage is Stage.TRANSLATE and op:
        return f"the translation of {op_name(op)} fails ({said})"
    return said
