"""OD5xx: the file runs, and answers otherwise than the model."""

from __future__ import annotations

from onnx_debug.data.failure import ClueKind, Decision, Topic
from onnx_debug.data.stage import Stage
from onnx_debug.render.knowledge.entry import Entry, Sign

_AT = (Stage.COMPARE,)
_MUST_NOT = "the exported model must not be used as it is."
_FROZEN = (ClueKind.TRACER_WARNING, ClueKind.BAKED)
_NEW = "export with dynamo=True, which keeps sizes symbolic."
_WARNS = ("TracerWarning: Converting a tensor to a Python",)


def _frozen(code: str, kept: str, do: str, decision: Decision) -> Entry:
    """Tracing runs the model once on the example, and writes down what that run did."""
    cause = (
        "The legacy exporter runs the model once on the given inputs and writes down which operators "
        "ran. What Python decided on the way is not in the graph, so other inputs get the same decision."
    )
    when = Sign((Stage.RUN, Stage.COMPARE), clues=_FROZEN, decisions=(decision,))
    return Entry(code, f"tracing keeps {kept}", cause, do, (when,), says=_WARNS, lesson="07")


ENTRIES = (
    _frozen(
        "OD511",
        "the branch that the given inputs take",
        "choose with torch.where, or compute the flag outside the model and pass it in; dynamo=True has torch.cond.",
        Decision.BRANCH_ON_VALUE,
    ),
    _frozen(
        "OD512",
        "the size or the number that the given inputs have",
        f"keep it a tensor (no int(), no .item()), or {_NEW}",
        Decision.SIZE_FROM_VALUE,
    ),
    _frozen(
        "OD513",
        "the branch that the size of the given inputs takes",
        f"do it in every case (pad, slice) without asking, or {_NEW}",
        Decision.BRANCH_ON_SIZE,
    ),
    _frozen(
        "OD514",
        "as many steps of the loop as the given inputs take",
        "compute all steps and select with a mask, in place of a loop that ends by a value.",
        Decision.LOOP_OVER_VALUES,
    ),
    Entry(
        "OD515",
        "tracing keeps a branch, a size or a value as the given inputs have it",
        "The legacy exporter writes down what one run on the given inputs did, Python's decisions "
        "included.",
        "move the decision out of the model, or export with dynamo=True and torch.where or torch.cond.",
        (Sign((Stage.RUN, Stage.COMPARE), clues=(ClueKind.TRACER_WARNING,)),),
        says=_WARNS,
        lesson="07",
    ),
    Entry(
        "OD502",
        "an operator is known to be translated wrongly",
        "The translation of this operator is known to answer otherwise than torch for such arguments "
        "or values.",
        f"write {{this}} with other operators; {_MUST_NOT}",
        (Sign(_AT, topics=(Topic.KNOWN_WRONG,)),),
        lesson="07",
    ),
    Entry(
        "OD501",
        "an operator gets the right inputs and returns wrong numbers",
        "Every value inside the graph was compared: up to here they agree, and the ONNX operators that "
        "stand for this one compute something else.",
        f"write {{this}} with other operators; {_MUST_NOT}",
        (Sign(_AT, clues=(ClueKind.VALUE,)),),
        lesson="07",
    ),
    Entry(
        "OD503",
        "a value computed from the inputs became a constant",
        "Python computed a number from the inputs while the model was captured, and the file holds that "
        "number. With other inputs it is wrong.",
        "compute it with tensor operations, or pass it in as an input.",
        (Sign(_AT, clues=(ClueKind.BAKED,)),),
        legacy="compute it with tensor operations, or pass it in as an input; dynamo=True keeps more of Python than tracing does.",
        lesson="07",
    ),
    Entry(
        "OD504",
        "every operator is right, and rounding grows to more than is allowed",
        "Both compute the same in another order, and the model makes much of the last digits: it "
        "subtracts numbers that are nearly equal, divides by small ones, or repeats a step many times.",
        "give the tolerances that fit the model's precision ({tolerances}), or export it in a wider type.",
        (Sign(_AT, clues=(ClueKind.DRIFT,)),),
        lesson="07",
    ),
    Entry(
        "OD505",
        "gives other values from run to run",
        "The model draws random numbers, or reads a clock. Two runs of the model itself differ as much, "
        "so no file can agree with it.",
        "call model.eval(), or pass the random tensor in as an input.",
        (Sign(_AT, clues=(ClueKind.RANDOM,)),),
        lesson="07",
    ),
    Entry(
        "OD500",
        "ONNX Runtime returns other values than PyTorch",
        "The outputs differ in number, shape, type or values by more than is allowed, and no operator "
        "could be named.",
        f"write {{this}} with other operators; {_MUST_NOT}",
        (Sign(_AT),),
        lesson="07",
        quotes=True,
    ),
)
