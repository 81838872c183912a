"""What a session found: frozen data, JSON and back, nothing live inside. No torch.

What it looks like is the business of `render`; a `Diagnosis` only knows facts.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol

from onnx_debug.data.comparison import Asked, Comparison, Edge, NodeError
from onnx_debug.data.culprit import Culprit
from onnx_debug.data.failure import Failure
from onnx_debug.data.fix import Fix, PartWay
from onnx_debug.data.module_info import ModuleInfo
from onnx_debug.data.plain import plain, rebuilt
from onnx_debug.data.request_fault import RequestFault
from onnx_debug.data.stage import Mode, Stage, StageResult, StageState, Verdict

FORMAT_VERSION = 2


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
        changed: the case was changed, to see whether that is a fix, or asked for less: the answer says
            nothing about the modules as they are, or about the export as it was asked for.
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
    changed: bool = False


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

    def codes(self, diagnosis: Diagnosis, /) -> tuple[str, ...]:
        """The codes of the causes: of each culprit, or of the failure where there is none."""
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
        request_fault: which kind of mistake that is; None when nothing is wrong with it.
        search: where the search is; unless it is finished, what stands here was found so far.
        fixes: changes that were tried and pass, best first: what costs the user least, then what comes
            nearest to eager.
        part_way: where there is no fix: changes that were tried and get the export further.
        fixed: the first of `fixes` was applied to a copy, because that was asked for: what is written
            is the export of that copy, and the model is as it was.
        written: the file at the user's own path, if there is one.
        unwritten: of an export that passes or was fixed, why there is none.
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
    request_fault: RequestFault | None = None
    unresolved: str = ""
    ours: bool = False
    stages: tuple[StageResult, ...] = ()
    search: SearchState = SearchState.NOT_BEGUN
    fixes: tuple[Fix, ...] = ()
    part_way: PartWay | None = None
    fixed: bool = False
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
    def usable_path(self) -> str | None:
        """The session's own file of an export that can be used: of the model, or of a copy with a fix; None where there is none."""
        if self.fixed and self.fixes:
            return self.fixes[0].outcome.onnx_path
        return self.onnx_path if self.ok else None

    @property
    def stopped(self) -> bool:
        """Whether the search was ended or paused before it was complete."""
        return self.search in (SearchState.STOPPED, SearchState.PAUSED)

    @property
    def codes(self) -> tuple[str, ...]:
        """The code of each culprit's cause, or of the failure where there is no culprit; `onnx_debug.meaning` says more of each."""
        return self.forms.codes(self)

    def to_dict(self) -> dict[str, Any]:
        """The diagnosis as JSON-ready data, with the verdict and the codes beside the facts they follow from.

        A number that JSON lacks stands as text: "nan", "inf", "-inf".
        """
        facts: dict[str, Any] = plain(dataclasses.asdict(self))
        follows = {"ok": self.ok, "verdict": str(self.verdict), "codes": list(self.codes)}
        return {"version": FORMAT_VERSION, **follows, **facts}

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
        return typing.cast(Diagnosis, rebuilt(cls, data))

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
