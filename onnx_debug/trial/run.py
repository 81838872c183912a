"""One trial: export a module with its recorded inputs and some descendants replaced, load it, run it, compare it.

It changes the model it is given (placeholders), so it runs in a process of its own or between a
snapshot and its restoration.
"""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field, replace

import torch

from onnx_debug.data.failure import Clue, Failure, signature
from onnx_debug.data.outcome import Outcome, Trial, TrialKind
from onnx_debug.data.stage import Mode, Stage, stages_before
from onnx_debug.eager.calls import Recording
from onnx_debug.eager.leaf import describe_leaf
from onnx_debug.eager.packing import PackingError, unpack
from onnx_debug.eager.recorder import Recorder
from onnx_debug.explain import exceptions, graph_nodes, traced_lines
from onnx_debug.request.case import Case
from onnx_debug.torch_private import dynamic_shapes, exporter
from onnx_debug.trial import capture, partial_graph
from onnx_debug.trial.load_run_compare import Check
from onnx_debug.trial.placeholders import Stub, StubError
from onnx_debug.trial.prepare import (
    Bench,
    Target,
    UnresolvedError,
    install_stubs,
    part_target,
    whole_target,
)


@dataclass
class Answer:
    """A trial's outcome, and what its capture saw of the model's calls."""

    outcome: Outcome
    traced: Recording = field(default_factory=Recording)


def run_trial(bench: Bench, trial: Trial) -> Answer:
    """Ask one question.

    Args:
        bench: its recordings must hold the module, the stubs, and the whole model.
        trial: the question.
    """
    start = time.perf_counter()
    bench = replace(bench, case=_case_of(bench.case, trial.kind))
    try:
        with bench.case.entered():
            target = whole_target(bench, trial) if not trial.module else part_target(bench, trial)
            stubs = install_stubs(bench, trial)
            answer = _export_and_run(bench, trial, target, stubs)
        same = target.inputs_as_in_eager
        answer = replace(answer, outcome=replace(answer.outcome, inputs_as_in_eager=same))
    except (UnresolvedError, StubError, PackingError) as error:
        answer = Answer(Outcome(unresolved=str(error)))
    except Exception as error:  # noqa: BLE001 - our own mistake must not pass for a failure of the user's model
        answer = Answer(
            Outcome(
                ours=True,
                unresolved=f"onnx_debug could not run this trial: {type(error).__name__}: {error}",
                log=traceback.format_exc(),
            )
        )
    return replace(answer, outcome=replace(answer.outcome, seconds=time.perf_counter() - start))


def _case_of(case: Case, kind: TrialKind) -> Case:
    if kind is TrialKind.NEUTRAL:
        return case.undisturbed()
    return case.minimal().undisturbed() if kind is TrialKind.DEFAULT_OPTIONS else case


def _export_and_run(bench: Bench, trial: Trial, target: Target, stubs: list[Stub]) -> Answer:
    recorder = Recorder(
        bench.names,
        describe_leaf if bench.case.dynamo else lambda leaf: leaf,
        bench.progress.modules,
    )

    def started() -> None:
        recorder.restart()
        for stub in stubs:
            stub.restart()

    seen = capture.export(
        capture.Call(target.module, target.args, target.kwargs, target.options, target.path),
        recorder=recorder,
        locator=target.locator,
        dynamo=bench.case.dynamo,
        started=started,
        stage=bench.progress.stage,
    )
    hints = tuple(_hints(bench, seen, target))
    traced = recorder.first if bench.case.dynamo and not trial.module else Recording()
    if seen.error is not None:
        failure = _export_failure(seen, target, _returned(bench, trial))
        passed = stages_before(failure.stage)
        drawn = (
            partial_graph.save(
                seen.error, target.module, target.locator, bench.directory / "captured.onnx"
            )
            if not trial.stubs
            else None
        )
        return Answer(
            Outcome(failure, hints=hints, passed=passed, captured_path=drawn, log=seen.log), traced
        )
    if seen.stacks:
        traced_lines.save(target.path, seen.stacks)
    ran = Check(bench, target, seen, hints)
    return Answer(ran.outcome(trial), traced)


def _hints(bench: Bench, seen: capture.Export, target: Target) -> list[Clue]:
    """Clues that do not come from the failure itself."""
    found = (
        list(seen.specialized) if bench.case.asks_dynamic else []
    )  # dynamo has symbols of its own inside a torch.cond
    if seen.error is not None and seen.decomposed is not None and seen.reached is Stage.TRANSLATE:
        options = target.options
        known = exporter.registered_targets(
            options.get("opset_version"), options.get("custom_translation_table")
        )
        if known is not None:
            found += graph_nodes.untranslatable(seen.decomposed, known, target.locator)
    if seen.error is None and seen.captured is not None:
        found += graph_nodes.drawing_random_numbers(seen.captured, target.locator)
    if not bench.case.dynamo:
        found += seen.frozen
    return found


def _returned(bench: Bench, trial: Trial) -> Clue | None:
    """A clue to what the whole model returns."""
    calls = bench.recordings[0].of("") if not trial.module and 0 in bench.recordings else []
    if not calls or calls[0].output is None:
        return None
    return exceptions.unknown_output(
        bench.case.model, unpack(calls[0].output.template, calls[0].output.leaves)
    )


def _export_failure(seen: capture.Export, target: Target, returned: Clue | None) -> Failure:
    error = seen.error
    assert error is not None
    innermost = exceptions.exception_chain(error)[0]
    for link in exceptions.exception_chain(error):
        if isinstance(link, PackingError):
            raise UnresolvedError(
                f"the output of {target.locator.root or 'the model'} cannot be taken apart: {link}"
            )
        if isinstance(link, StubError):
            raise link
    stage = seen.reached
    if (
        stage is Stage.TRANSLATE
        and seen.decomposed is not None
        and not isinstance(error, torch.onnx.OnnxExporterError)
    ):
        stage = Stage.OPTIMIZE
    found = exceptions.from_exception(error, target.locator)
    chain = exceptions.exception_chain(error)
    # Where no module made a number of a size, the request has several names for equal sizes.
    contradicted = not seen.specialized and any(map(dynamic_shapes.refuses_relation, chain))
    if stage is Stage.CAPTURE and not found and (contradicted or not seen.entered):
        stage = Stage.OPTIONS
    if stage is Stage.CAPTURE and not found:
        found = list(seen.specialized) or ([returned] if returned is not None else [])
    kind = type(innermost).__name__
    op = next((clue.op for clue in found if clue.op), None)
    details = "".join(traceback.format_exception(error))
    unsupported = op is not None and isinstance(
        innermost, torch.onnx.errors.UnsupportedOperatorError
    )
    return Failure(
        stage,
        Mode.ERROR,
        signature(stage, Mode.ERROR, kind, op),
        kind,
        str(innermost),
        op,
        tuple(found),
        details,
        exporter.first_opset_of(op) if op is not None and unsupported else None,
    )
