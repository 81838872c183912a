"""Hand-built diagnoses, one for each thing a reader may be told: what the renderers are tested on."""

from __future__ import annotations

from dataclasses import replace

from onnx_debug.data.comparison import Asked, Comparison, Edge, EdgeKind, NodeError
from onnx_debug.data.culprit import Culprit, Proof, ProofKind
from onnx_debug.data.diagnosis import Diagnosis, SearchState, Step, Written
from onnx_debug.data.failure import Clue, ClueKind, Failure, Source
from onnx_debug.data.fix import Fix, PartWay
from onnx_debug.data.module_info import ModuleInfo, TensorInfo
from onnx_debug.data.outcome import Outcome
from onnx_debug.data.stage import Mode, Stage, Verdict, skipped

QR = Source("/home/me/model.py", 17, "return x + torch.linalg.qr(x[0])[0].sum()", "forward")
IF = Source("/home/me/model.py", 11, "if y.sum() > 0:", "forward")
X = TensorInfo("x", "float32", (2, 8, 16), ("batch", 8, 16), min=-2.9, max=3.1)


def failure(stage: Stage = Stage.TRANSLATE, mode: Mode = Mode.ERROR, **rest: object) -> Failure:
    defaults = {
        "signature": "s",
        "exception_type": "DispatchError",
        "message": "No ONNX function found",
        "op": "aten::linalg_qr.default",
    }
    return Failure(stage, mode, **{**defaults, **rest})


def branch_failure() -> Failure:
    clue = Clue(
        "blocks.3.extra",
        ClueKind.FRAME,
        IF,
        below=(Source("/home/me/helpers.py", 4, "return bool(value)", "positive"),),
    )
    return failure(
        Stage.CAPTURE,
        exception_type="GuardOnDataDependentSymNode",
        message="Could not guard on Eq(u0, 1)",
        op=None,
        clues=(clue,),
    )


def culprit(fqn: str = "blocks.7.extra", class_name: str = "BadQr", **rest: object) -> Culprit:
    defaults = {
        "own_code": True,
        "proof": Proof(ProofKind.ALONE, own_code_trial=True, necessary=True),
        "failure": failure(),
        "source": QR,
        "op": "aten::linalg_qr.default",
        "inputs": (X,),
        "outputs": (TensorInfo("0", "float32", (2, 8, 16)),),
    }
    return Culprit(fqn, class_name, **{**defaults, **rest})


def modules(count: int = 103) -> tuple[ModuleInfo, ...]:
    named = ["", "blocks.3.extra", "blocks.7.extra", "blocks.10.extra"]
    return tuple(
        ModuleInfo(fqn, "Net" if not fqn else "Layer")
        for fqn in [*named, *(f"m{i}" for i in range(count - len(named)))]
    )


def steps(count: int = 9) -> tuple[Step, ...]:
    first = Step(
        "",
        (),
        0,
        "does the whole model export?",
        Verdict.FAILED,
        0.9,
        Stage.TRANSLATE,
        Mode.ERROR,
        "No ONNX function found",
    )
    return (
        first,
        *(
            Step("blocks.7.extra", ("m1",), 0, "does it fail alone?", Verdict.PASSED, 0.3)
            for _ in range(count - 1)
        ),
    )


def diagnosis(*culprits: Culprit, **rest: object) -> Diagnosis:
    defaults = {
        "failure": failure(),
        "sufficient": True,
        "search": SearchState.FINISHED,
        "modules": modules(),
        "trials": steps(),
        "seconds": 3.42,
        "log": "[torch.onnx] …",
    }
    facts = {**defaults, **rest}
    stages = Outcome(facts["failure"]).stages if facts["failure"] else ()
    return Diagnosis("Net", culprits=culprits, **{"stages": stages, **facts})


FIX = Fix(
    "Use a Householder form of QR",
    "Reflections are plain matrix products.",
    Outcome(passed=tuple(Stage)),
    2e-6,
    diff="-a = qr(x)\n+a = hh(x)",
)
CALL = 'torch.onnx.export(\n    model,\n    (x,),\n    input_names=["input"],\n    dynamic_axes={"input": {0: "batch_size"}},\n)'
RENAME = Fix(
    "Name the inputs that dynamic_axes speaks of",
    "Names must be given to be used.",
    Outcome(passed=tuple(Stage)),
    0.0,
    code=CALL,
)


FURTHER = PartWay(
    "choose with torch.where in line 11",
    "Both branches are computed.",
    failure(),
    diff="-if y.sum() > 0:\n+y = torch.where(",
)


def exported() -> Diagnosis:
    rows = (
        Comparison(0, "y", max_abs_diff=2e-6, total=4),
        Comparison(1, "y", max_abs_diff=3e-6, total=4),
    )
    asked = (Asked("dynamic_shapes['x'][0]", "dynamic (rows)", "rows", works=(1, 4)),)
    return Diagnosis(
        "Net",
        search=SearchState.FINISHED,
        stages=Outcome(passed=tuple(Stage)).stages,
        comparisons=rows,
        asked=asked,
        onnx_path="/tmp/net.onnx",
        written=Written("net.onnx", 12_345, 20, 8),
        edges=(
            Edge(EdgeKind.VALUES, "with ties", "1 of 4 elements differ", "act", IF, "aten::sign"),
        ),
        notes=("The model is in training mode.",),
        trials=steps(1),
        seconds=1.2,
    )


def answers_wrongly() -> Diagnosis:
    rows = (
        Comparison(0, "y"),
        Comparison(
            1, "y", "max difference 0.1, 3 of 4 elements", 0.1, 0.2, 3, 4, inputs="rows 2 for 3"
        ),
    )
    frozen = Clue(
        "blocks.3.extra",
        ClueKind.TRACER_WARNING,
        IF,
        reason="the constant c = 3 is the size 0 of its input",
    )
    said = failure(
        Stage.COMPARE,
        exception_type="",
        message="output y with rows 2 for 3: max difference 0.1",
        op=None,
        clues=(frozen,),
    )
    asked = Asked(
        "dynamic_axes['x'][0]", "dynamic (rows)", "rows", clue=frozen, works=(6,), fails=(1, 2)
    )
    guilty = culprit(
        "blocks.3.extra", "Rows", source=IF, op=None, reason=frozen.reason, failure=said
    )
    errors = (
        NodeError("mul_3", "aten::mul.Tensor", 0.1, "max difference 0.1", "max difference 0.1"),
    )
    return diagnosis(guilty, failure=said, comparisons=rows, asked=(asked,), node_errors=errors)


def three() -> Diagnosis:
    branch = culprit("blocks.3.extra", "BadIf", source=IF, op=None, failure=branch_failure())
    view = culprit(
        "blocks.10.extra",
        "BadTry",
        op=None,
        reason="a caught error leaves a dead view in the graph",
    )
    return diagnosis(culprit(), branch, view, fixes=(FIX,))


def eighteen() -> Diagnosis:
    convs = [
        culprit(
            f"encoder.layers.{i}.conv",
            "EncodecConv1d",
            op=None,
            failure=branch_failure(),
            source=IF,
        )
        for i in range(17)
    ]
    return diagnosis(*convs, culprit("decoder.lstm", "EncodecLSTM"))


def bad_request() -> Diagnosis:
    said = failure(
        Stage.OPTIONS,
        exception_type="RuntimeError",
        message="# Failed to convert 'dynamic_axes'\nlong story",
        op=None,
    )
    words = "dynamic_axes names 'input' and 'output', but the inputs of Net are called: x"
    return diagnosis(failure=said, request=words, fixes=(RENAME,), sufficient=None)


def nobody() -> Diagnosis:
    return diagnosis(
        failure=failure(
            Stage.LOAD, exception_type="Fail", message="Load model failed: Type Error", op=None
        ),
        sufficient=None,
    )


def broken_model() -> Diagnosis:
    return diagnosis(
        failure=failure(
            Stage.EAGER,
            exception_type="RuntimeError",
            message="mat1 and mat2 cannot be multiplied",
            op=None,
            details="Traceback …\nRuntimeError: mat1 and mat2 cannot be multiplied",
        ),
        sufficient=None,
        trials=(),
    )


def broken_layer() -> Diagnosis:
    """A model that fails in eager, in a layer that is known."""
    d = broken_model()
    proof = Proof(
        ProofKind.UNPROVEN, reason="the model itself fails in eager; nothing was exported"
    )
    return replace(
        d, culprits=(culprit("m3", "Linear", failure=d.failure, op=None, proof=proof, outputs=()),)
    )


def died(mode: Mode) -> Diagnosis:
    gone = failure(Stage.CAPTURE, mode, exception_type="", message="", op=None)
    return diagnosis(
        culprit("blocks.7.extra", "BadKernel", failure=gone, op=None, source=None), failure=gone
    )


def root() -> Diagnosis:
    proof = Proof(ProofKind.ROOT, own_code_trial=True)
    return diagnosis(
        culprit("", "Net", failure=branch_failure(), op=None, proof=proof, source=IF),
        failure=branch_failure(),
        sufficient=None,
    )


def not_proven() -> Diagnosis:
    proof = Proof(
        ProofKind.UNPROVEN, reason="its output is a live object, so no placeholder can stand for it"
    )
    return diagnosis(
        culprit(proof=proof), sufficient=None, notes=("The model draws random numbers.",)
    )


def unresolved(*, ours: bool = False) -> Diagnosis:
    why = "TypeError: a mistake" if ours else "the stage run was skipped: no inputs match"
    done = tuple(stage for stage in Stage if stage not in (Stage.RUN, Stage.COMPARE))
    outcome = Outcome(passed=done, skipped=skipped((Stage.RUN, Stage.COMPARE), "no inputs match"))
    return diagnosis(
        failure=None,
        sufficient=None,
        trials=steps(1),
        unresolved=why,
        ours=ours,
        stages=outcome.stages,
    )


def fixed() -> Diagnosis:
    """A copy with the first fix was written."""
    return diagnosis(
        culprit(), fixes=(FIX,), fixed=True, written=Written("model.onnx", 12_000, 20, 14)
    )


def stopped() -> Diagnosis:
    return diagnosis(search=SearchState.STOPPED, failure=None, sufficient=None, trials=steps(2))


ALL = {
    "exported": exported(),
    "single": diagnosis(culprit(), fixes=(FIX,)),
    "fixed": fixed(),
    "three": three(),
    "part_way": replace(three(), fixes=(), part_way=FURTHER),
    "eighteen": eighteen(),
    "bad_request": bad_request(),
    "answers_wrongly": answers_wrongly(),
    "nobody": nobody(),
    "broken_model": broken_model(),
    "broken_layer": broken_layer(),
    "crash": died(Mode.CRASH),
    "timeout": died(Mode.TIMEOUT),
    "memory": died(Mode.MEMORY),
    "root": root(),
    "not_proven": not_proven(),
    "stopped": stopped(),
    "unresolved": unresolved(),
    "our own fault": unresolved(ours=True),
    "running": diagnosis(culprit(), search=SearchState.RUNNING, sufficient=None),
    "paused": diagnosis(culprit(), search=SearchState.PAUSED, sufficient=None),
    "stopped_later": diagnosis(culprit(), search=SearchState.STOPPED, sufficient=None),
}
