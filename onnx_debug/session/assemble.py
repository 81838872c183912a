"""From what a session knows to a `Diagnosis`."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache

from onnx_debug.data.call_tree import EagerReport, Tree
from onnx_debug.data.diagnosis import Culprit, ModuleCall, Proof, ProofKind, Step
from onnx_debug.data.outcome import Failure, Outcome, Stage, Trial, TrialKind
from onnx_debug.explain import syntax
from onnx_debug.search.findings import Finding, Question

Describe = Callable[[str, int], ModuleCall]

_MOST_CALLS = 12  # of one module, that are described
_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "onnx-debug")


def culprits(
    findings: Iterable[Finding],
    report: EagerReport,
    describe: Describe,
    outcomes: Mapping[Trial, Outcome],
) -> tuple[Culprit, ...]:
    """The findings with everything that is known of their modules, in execution order."""
    tree = report.tree()
    return tuple(
        _culprit(finding, tree, describe, graph_alone(outcomes, finding))
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
        calls=calls(finding.fqn, tree, describe),
        graph_path=graph_path,
    )


def calls(fqn: str, tree: Tree, describe: Describe) -> tuple[ModuleCall, ...]:
    """The recorded calls of a module that differ from those before."""
    return tuple(describe(fqn, index) for index in tree.differing_calls(fqn)[:_MOST_CALLS])


def graph_alone(outcomes: Mapping[Trial, Outcome], finding: Finding) -> str | None:
    """What a trial of the culprit alone captured before it failed, or else exported."""
    for trial, outcome in outcomes.items():
        if (trial.module, trial.stubs, trial.call) == (
            finding.fqn,
            frozenset(),
            finding.call,
        ) and outcome.failed:
            return outcome.captured_path or outcome.onnx_path
    return None


def eager_culprits(
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


def step_of(question: Question, outcome: Outcome) -> Step:
    """One line of the history."""
    failure, trial = outcome.failure, question.trial
    return Step(
        trial.module,
        tuple(sorted(trial.stubs)),
        trial.call,
        question.why,
        outcome.verdict,
        outcome.seconds,
        failure.stage if failure is not None else None,
        failure.mode if failure is not None else None,
        failure.message.split("\n", 1)[0] if failure is not None else outcome.undecided,
        trial.kind is TrialKind.FURTHER_INPUTS,
        outcome.ours,
    )


def undecided(whole: Outcome) -> str:
    """Why nobody knows whether the whole model exports; empty when it passed or failed.

    A model whose outputs are all empty passes every stage, but nothing was compared.
    """
    if whole.ok and not any(row.total for row in whole.comparisons):
        return "it exports, loads and runs, but it returns nothing that could be compared"
    return whole.undecided


def graph_to_show(outcomes: dict[Trial, Outcome], replaced: frozenset[str]) -> str | None:
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
