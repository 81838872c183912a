"""What a session found: frozen data, JSON and back, nothing live inside. No torch.

What it looks like is the business of `render`; a `Diagnosis` only knows facts.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol, Union, get_args, get_origin

from onnx_debug.data.outcome import (
    Asked,
    Comparison,
    Edge,
    Failure,
    Mode,
    NodeError,
    Outcome,
    Source,
    Stage,
    StageResult,
    StageState,
    Verdict,
)

FORMAT_VERSION = 2


class ProofKind(StrEnum):
    """By which trial a culprit was proven."""

    ALONE = "alone"  # exported alone with its recorded inputs, it fails alike
    IN_PLACE = "in place"  # it passes alone, but the model's failure goes away when it is replaced
    ANCESTOR = "smallest failing ancestor"  # the named module passes alone; this is the smallest module around it that fails
    ROOT = "whole model"  # it is the whole model: with all children replaced it still fails, or every child passes
    UNPROVEN = (
        "unproven"  # named by the failure only; `Proof.reason` says why no trial could decide
    )


@dataclass(frozen=True)
class Proof:
    """What was tried to prove a culprit.

    Attributes:
        kind: the trial that showed the culprit to be guilty.
        own_code_trial: True: with all called children replaced it still fails, or no child fails.
            None: not asked or undecidable.
        necessary: with all other culprits replaced the model still fails. None: not asked or
            undecidable.
        reason: what is unproven and why; empty when nothing is.
    """

    kind: ProofKind
    own_code_trial: bool | None = None
    necessary: bool | None = None
    reason: str = ""


@dataclass(frozen=True)
class TensorInfo:
    """One tensor that went into or came out of a module.

    Attributes:
        name: the argument's name (`mask`, `states[0]`), or the output's position.
        shape: sizes as recorded.
        symbolic_shape: sizes as the capture saw them; a dynamic one is a name such as "s0". Empty
            when unknown.
        min, max: over finite elements; None for empty, bool and complex tensors.
        nan_count: how many elements are NaN.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    symbolic_shape: tuple[int | str, ...] = ()
    device: str = "cpu"
    min: float | None = None
    max: float | None = None
    nan_count: int = 0


@dataclass(frozen=True)
class ModuleCall:
    """What one recorded call of a module got and returned.

    Attributes:
        index: how many calls of this module came before.
    """

    index: int
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()


@dataclass(frozen=True, repr=False)
class Culprit:
    """A module that is to blame, with the proof.

    Attributes:
        fqn: canonical path; "" is the whole model.
        aliases: other paths of the same module.
        own_code: its own forward (or hook, or parametrization) is at fault, not a child.
        failure: how it fails when exported alone, or in place.
        call_index: which recorded call fails.
        source: the guilty line.
        calls: the recorded calls whose shapes, dtypes or other arguments differ from those before.
        graph_path: its own graph: what was captured of it before the failing operator, or else what
            was exported of it alone; or None.
    """

    fqn: str
    class_name: str
    own_code: bool
    proof: Proof
    failure: Failure
    aliases: tuple[str, ...] = ()
    call_index: int = 0
    source: Source | None = None
    op: str | None = None
    reason: str = ""
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    calls: tuple[ModuleCall, ...] = ()
    graph_path: str | None = None

    def __repr__(self) -> str:
        where = f" at {self.failure.stage}"
        return f"<Culprit {self.fqn or 'the whole model'} ({self.class_name}){where}, {self.proof.kind}>"


@dataclass(frozen=True, repr=False)
class Fix:
    """A change that was applied to a copy of the case, exported again, run and compared. Nothing untried is a `Fix`.

    Attributes:
        diff: unified diff of the user's source; empty when the change is not one of source.
        code: the call or the lines to use instead; empty when `diff` says it.
        outcome: the whole case with the fix applied; always passed.
        max_abs_diff: largest difference to the unfixed eager module, over all outputs and inputs.
    """

    title: str
    explanation: str
    outcome: Outcome
    max_abs_diff: float
    diff: str = ""
    code: str = ""

    def __repr__(self) -> str:
        return f"<Fix: {self.title}>"


class SearchState(StrEnum):
    """Where the search for the culprits is."""

    NOT_BEGUN = "not begun"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    FINISHED = "finished"


@dataclass(frozen=True)
class Step:
    """One trial of the history: what was asked, why, and the answer.

    Attributes:
        module, stubs, call, beyond: the question, as in `Trial`.
        why: in plain words, why it was asked.
        answer, stage, mode, message: the outcome in short; `stage` and `mode` are None unless it
            failed.
        ours: it is unresolved because of a mistake or a loss of onnx_debug's own.
    """

    module: str
    stubs: tuple[str, ...]
    call: int
    why: str
    answer: Verdict
    seconds: float
    stage: Stage | None = None
    mode: Mode | None = None
    message: str = ""
    beyond: bool = False
    ours: bool = False


@dataclass(frozen=True)
class ModuleInfo:
    """One module of the model's tree.

    Attributes:
        fqn: canonical path.
        aliases: further paths of the same module object.
        calls: how often the recorded eager run called it.
        parameters: number of parameter elements in it and below it.
        forward: where its class says what it computes; None for a class without Python source.
    """

    fqn: str
    class_name: str
    aliases: tuple[str, ...] = ()
    calls: int = 0
    parameters: int = 0
    forward: Source | None = None


@dataclass(frozen=True)
class Written:
    """The file that the user asked for and got.

    Attributes:
        path: as the user wrote it; empty for a stream.
        size: bytes, external data included.
        opset: of the standard operators.
        nodes: of the main graph.
    """

    path: str
    size: int
    opset: int
    nodes: int


class Forms(Protocol):
    """What a diagnosis looks like. `onnx_debug` sets the one implementation, so that the facts need not know any page."""

    def page(self, diagnosis: Diagnosis, /) -> str:
        """The diagnosis as one interactive HTML page."""
        ...

    def text(self, diagnosis: Diagnosis, /) -> str:
        """The diagnosis in at most 12 lines."""
        ...

    def issue(self, diagnosis: Diagnosis, /) -> str:
        """A bug report about onnx_debug itself."""
        ...


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """Everything a session found out about one export.

    Attributes:
        failure: of the whole model, as first seen; None when there was none. That alone is no
            success: see `verdict`.
        unresolved: why nobody knows whether the model exports; empty when that is known.
        ours: it is unresolved because of a mistake or a loss of onnx_debug's own.
        stages: what became of each stage of the whole model's export.
        culprits: in execution order.
        sufficient: with all culprits replaced, the rest of the model passes every stage. None: not
            asked or undecidable.
        request: what is wrong with the request itself (an option, a dynamic dimension), in plain
            words; empty when nothing is.
        search: where the search is; unless it is finished, what stands here was found so far.
        fixes: changes that were tried and pass.
        written: the file at the user's own path, if there is one.
        unwritten: of an export that passes, why there is none.
        onnx_path: the exported model; or the partial graph, with each culprit as one placeholder
            node; or None. A file of the session, which goes with the last reference to it.
        notes: facts the reader should know (what could not be proven, isolation that was not
            available, training mode).
        comparisons: eager against ONNX Runtime, one row for each output of each input.
        asked: what was asked of the file (dynamic dimensions, opset, names), what it has, and the
            sizes that were tried.
        node_errors: where outputs differ: the values inside the graph that differ, in the order of
            execution.
        edges: differences on inputs at the edge of what the model takes; they fail no export, unless
            `edges="strict"`.
        modules: the model's tree, in `named_modules()` order.
        log: what the exporter printed and logged for the whole model.
        versions: package name to version.
        seconds: wall time of the whole session.
    """

    model_class: str
    failure: Failure | None = None
    culprits: tuple[Culprit, ...] = ()
    sufficient: bool | None = None
    request: str = ""
    unresolved: str = ""
    ours: bool = False
    stages: tuple[StageResult, ...] = ()
    search: SearchState = SearchState.NOT_BEGUN
    fixes: tuple[Fix, ...] = ()
    written: Written | None = None
    unwritten: str = ""
    onnx_path: str | None = None
    notes: tuple[str, ...] = ()
    trials: tuple[Step, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    asked: tuple[Asked, ...] = ()
    node_errors: tuple[NodeError, ...] = ()
    edges: tuple[Edge, ...] = ()
    modules: tuple[ModuleInfo, ...] = ()
    log: str = ""
    dynamo: bool = True
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    forms: ClassVar[Forms]

    @property
    def verdict(self) -> Verdict:
        """What is known of the export.

        Passed only when the search has ended, every stage of the whole model passed, and at least
        one output was compared.
        """
        if self.failure is not None:
            return Verdict.FAILED
        if self.search is SearchState.STOPPED:
            return Verdict.STOPPED
        if self.unresolved:
            return Verdict.UNRESOLVED
        if self.search is not SearchState.FINISHED:
            return Verdict.NOT_BEGUN
        passed = {one.stage for one in self.stages if one.state is StageState.PASSED}
        compared = any(row.total for row in self.comparisons)
        return Verdict.PASSED if passed == set(Stage) and compared else Verdict.UNRESOLVED

    @property
    def ok(self) -> bool:
        """True when every stage passed on every input, and outputs were compared."""
        return self.verdict is Verdict.PASSED

    @property
    def stopped(self) -> bool:
        """Whether the search was ended or paused before it was complete."""
        return self.search in (SearchState.STOPPED, SearchState.PAUSED)

    def to_dict(self) -> dict[str, Any]:
        """The diagnosis as JSON-ready data, with the verdict beside the facts it follows from.

        A number that JSON lacks stands as text: "nan", "inf", "-inf".
        """
        facts: dict[str, Any] = _plain(dataclasses.asdict(self))
        return {"version": FORMAT_VERSION, "ok": self.ok, "verdict": str(self.verdict), **facts}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Diagnosis:
        """The inverse of `to_dict`, also after a trip through JSON. Unknown keys are ignored.

        Raises:
            ValueError: the data was written by an incompatible version.
        """
        if data.get("version") != FORMAT_VERSION:
            raise ValueError(
                f"this diagnosis has format {data.get('version')!r}; this onnx_debug reads {FORMAT_VERSION}"
            )
        return typing.cast(Diagnosis, _rebuild(cls, data))

    def issue_text(self) -> str:
        """A bug report about onnx_debug itself as Markdown: what happened, versions, the log's end."""
        return self.forms.issue(self)

    def __str__(self) -> str:
        return self.forms.text(self)

    def __repr__(self) -> str:
        first = f": {self.culprits[0].fqn or self.model_class}" if self.culprits else ""
        stage = f" at {self.failure.stage}" if self.failure is not None else ""
        found = f", {len(self.culprits)} culprits{first}" if self.culprits else ""
        return f"<Diagnosis of {self.model_class}: {self.verdict}{stage}{found}, {len(self.trials)} trials>"

    def save_html(self, path: str | Path) -> Path:
        """Write the diagnosis as one self-contained interactive HTML file, graph included, and return its path."""
        target = Path(path)
        target.write_text(self.forms.page(self), encoding="utf-8")
        return target


def _rebuild(kind: Any, value: Any) -> Any:
    """Turn JSON-ready data back into the annotated type: dataclasses, enums, tuples, optionals."""
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        hints = typing.get_type_hints(kind)
        names = [field.name for field in dataclasses.fields(kind) if field.name in value]
        return kind(**{name: _rebuild(hints[name], value[name]) for name in names})  # type: ignore[operator]
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        choices = [choice for choice in get_args(kind) if choice is not type(None)]
        return (
            None if value is None else _rebuild(choices[0], value) if len(choices) == 1 else value
        )
    if origin is tuple:
        return tuple(_rebuild(get_args(kind)[0], item) for item in value)
    if isinstance(kind, type) and (issubclass(kind, StrEnum) or kind is float):
        return kind(value)
    return value


def _plain(value: Any) -> Any:
    """Without what JSON lacks: tuples become lists, and NaN and infinities become text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
