"""What a session knows, and how that becomes a `Diagnosis`."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

from onnx_debug.data.call_tree import EagerReport, Tree
from onnx_debug.data.culprit import Culprit, Proof, ProofKind
from onnx_debug.data.diagnosis import Diagnosis, SearchState, Step, Written
from onnx_debug.data.failure import Failure
from onnx_debug.data.fix import Fix, PartWay
from onnx_debug.data.module_info import ModuleCall, ModuleInfo
from onnx_debug.data.outcome import Outcome, Trial
from onnx_debug.data.request_fault import RequestFault
from onnx_debug.data.stage import Stage
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.explain import syntax
from onnx_debug.request.case import Case
from onnx_debug.session.search.findings import Finding, Findings

Describe = Callable[[str, int], ModuleCall]

_MOST_CALLS = 12  # of one module, that are described
_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "onnx-debug")


@dataclass
class Known:
    """What a session knows so far.

    Attributes:
        describe: the tensors of a recorded call; called while a diagnosis is made.
        report: of the eager run.
        findings: of the search.
        notes: what the session itself has to say.
        request: what is wrong with the request; empty when nothing is.
        request_fault: which kind of mistake that is.
    """

    case: Case
    describe: Describe
    outcomes: Mapping[Trial, Outcome]
    steps: Sequence[Step]
    report: EagerReport | None = None
    findings: Findings = field(default_factory=Findings)
    notes: list[str] = field(default_factory=list)
    request: str = ""
    request_fault: RequestFault | None = None
    fixes: tuple[Fix, ...] = ()
    part_way: PartWay | None = None
    fixed: bool = False
    written: Written | None = None
    unwritten: str = ""
    state: SearchState = SearchState.NOT_BEGUN
    start: float = field(default_factory=time.perf_counter)

    @property
    def whole(self) -> Outcome | None:
        """What the whole model's trial answered, or else its eager run, where that was the end."""
        if self.findings.whole is not None or self.report is None:
            return self.findings.whole
        found = self.report.outcome
        return found if found.failed or found.unresolved else None

    def culprits(self) -> tuple[Culprit, ...]:
        """The modules to blame, as far as they are known, in execution order."""
        if self.report is None:
            return ()
        if self.report.outcome.failure is not None:
            return _eager_culprits(self.report.outcome.failure, self.report, self.describe)
        return _culprits(self.findings.culprits, self.report, self.describe, self.outcomes)

    def diagnosis(self) -> Diagnosis:
        """All of it as frozen data."""
        whole = self.whole or Outcome()
        known = self.whole is not None
        return Diagnosis(
            model_class=type(self.case.model).__name__,
            failure=whole.failure,
            culprits=self.culprits(),
            sufficient=self.findings.sufficient,
            request=self.request,
            request_fault=self.request_fault,
            unresolved=_undecided(whole) if known else "",
            ours=whole.ours,
            stages=whole.stages if known else (),
            search=self.state,
            fixes=self.fixes,
            part_way=self.part_way,
            fixed=self.fixed,
            written=self.written,
            unwritten=self.unwritten,
            onnx_path=_graph_to_show(self.outcomes, self.findings.names),
            notes=(*self.notes, *self.findings.notes, *filter(None, [whole.note])),
            trials=tuple(self.steps),
            comparisons=whole.comparisons,
            asked=whole.asked,
            node_errors=whole.node_errors,
            edges=whole.edges,
            modules=self.report.modules if self.report is not None else self._modules,
            log=whole.log,
            dynamo=self.case.dynamo,
            versions=versions(),
            seconds=time.perf_counter() - self.start,
        )

    @cached_property
    def _modules(self) -> tuple[ModuleInfo, ...]:
        """The model's modules, as they are known before it has run."""
        return ModuleNames(self.case.model).infos({})


def _culprits(
    findings: Iterable[Finding],
    report: EagerReport,
    describe: Describe,
    outcomes: Mapping[Trial, Outcome],
) -> tuple[Culprit, ...]:
    """The findings with everything that is known of their modules, in execution order."""
    tree = report.tree()
    return tuple(
        _culprit(finding, tree, describe, _graph_alone(outcomes, finding))
        for finding in sorted(findings, key=lambda finding: tree.order(finding.fqn))
    )


def _culprit(finding: Finding, tree: Tree, describe: Describe, graph_path: str | None) -> Culprit:
    info = tree.modules[finding.fqn]
    failing = describe(finding.fqn, finding.call)
    clue, failure = finding.clue, finding.failure
    if (
        clue is not None and clue not in failure.clues
    ):  # what led to the module says more than how it fails alone
        failure = replace(failure, clues=(clue, *failure.clues))
    source = clue.source if clue is not None else None
    if (
        source is None
        and finding.own_code
        and failure.stage is Stage.COMPARE
        and info.forward is not None
    ):
        source = syntax.only_statement(info.forward)
    return Culprit(
        finding.fqn,
        info.class_name,
        finding.own_code,
        finding.proof,
        failure,
        aliases=info.aliases,
        call_index=finding.call,
        source=source,
        op=clue.op if clue is not None and clue.op else finding.failure.op,
        reason=clue.reason if clue is not None else "",
        inputs=failing.inputs,
        outputs=failing.outputs,
        calls=calls_of(finding.fqn, tree, describe),
        graph_path=graph_path,
    )


def calls_of(fqn: str, tree: Tree, describe: Describe) -> tuple[ModuleCall, ...]:
    """The recorded calls of a module that differ from those before."""
    return tuple(describe(fqn, index) for index in tree.differing_calls(fqn)[:_MOST_CALLS])


def _graph_alone(outcomes: Mapping[Trial, Outcome], finding: Finding) -> str | None:
    """What a trial of the culprit alone captured before it failed, or else exported."""
    for trial, outcome in outcomes.items():
        if (trial.module, trial.stubs, trial.call) == (
            finding.fqn,
            frozenset(),
            finding.call,
        ) and outcome.failed:
            return outcome.captured_path or outcome.onnx_path
    return None


def _eager_culprits(
    failure: Failure, report: EagerReport, describe: Describe
) -> tuple[Culprit, ...]:
    """The module in which the model itself fails, before anything is exported, with what its last call got."""
    modules = {module.fqn: module for module in report.modules}
    proof = Proof(
        ProofKind.UNPROVEN, reason="the model itself fails in eager; nothing was exported"
    )
    return tuple(
        Culprit(
            clue.fqn,
            modules[clue.fqn].class_name,
            own_code=True,
            proof=proof,
            failure=failure,
            source=clue.source,
            reason=clue.reason,
            inputs=describe(clue.fqn, max(0, modules[clue.fqn].calls - 1)).inputs,
        )
        for clue in failure.clues[:1]
        if clue.fqn in modules
    )


def _undecided(whole: Outcome) -> str:
    """Why nobody knows whether the whole model exports; empty when it passed or failed.

    A model whose outputs are all empty passes every stage, but nothing was compared.
    """
    if whole.ok and not any(row.total for row in whole.comparisons):
        return "it exports, loads and runs, but it returns nothing that could be compared"
    return whole.undecided


def _graph_to_show(outcomes: Mapping[Trial, Outcome], replaced: frozenset[str]) -> str | None:
    """The exported model; or the one in which exactly the culprits are replaced; or the last that was exported with any replaced."""
    for trial in (Trial(""), Trial("", stubs=replaced)):
        found = outcomes.get(trial)
        if found is not None and found.onnx_path is not None:
            return found.onnx_path
    partial = [
        outcome.onnx_path
        for trial, outcome in outcomes.items()
        if not trial.module and outcome.onnx_path
    ]
    return partial[-1] if partial else None


def versions() -> dict[str, str]:
    """The packages whose versions matter to an export."""
    return {name: _version(name) for name in _PACKAGES}


@cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
