"""One trial: export a module with its recorded inputs and some descendants replaced, load it, run it, compare it.

It changes the model it is given (placeholders), so it runs in a process of its own or between a snapshot and its restoration.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from onnx_debug import alone, clues, torch_internals
from onnx_debug.case import Case, forward_signature
from onnx_debug.outcome import Clue, ClueKind, Comparison, Failure, Mode, Outcome, Stage, Trial
from onnx_debug.packing import PackingError, unpack
from onnx_debug.recording import Call, ModuleNames, Recorder, Recording, describe_leaf
from onnx_debug.stages import capture, compare, runtime
from onnx_debug.stubs import Stub, StubError, install

_REPORTS = ("report", "verify", "profile", "dump_exported_program")


@dataclass
class Progress:
    """Where a trial is, for whoever watches it from outside. The base class tells nobody."""

    def stage(self, stage: Stage) -> None:
        """A stage begins."""

    def modules(self, stack: Sequence[str]) -> None:
        """The running modules changed; outermost first."""


@dataclass
class Bench:
    """What a trial works with.

    Attributes:
        recordings: by position in `case.inputs`: what the modules that the trial needs received and returned in eager.
        traced: calls as earlier captures of the whole model saw them, by module.
        directory: where the exported file goes.
        require_dynamic: a size that becomes fixed is an error also for a submodule, because that is how the whole model fails.
    """

    case: Case
    names: ModuleNames
    recordings: dict[int, Recording]
    traced: dict[str, list[Call]]
    directory: Path
    require_dynamic: bool = False
    progress: Progress = field(default_factory=Progress)


@dataclass
class Answer:
    """A trial's outcome, and what its capture saw of the model's calls."""

    outcome: Outcome
    traced: Recording = field(default_factory=Recording)


class _UnresolvedError(Exception):
    """The question cannot be asked."""


@dataclass
class _Target:
    """What is exported in this trial, and what eager makes of it.

    Attributes:
        feeds: for each inputs position, the flat list of what is passed.
        expected: for each inputs position, the tensors that eager returns; None: run it to know.
    """

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    locator: clues.Locator
    feeds: Mapping[int, Sequence[Any]]
    expected: Mapping[int, Sequence[torch.Tensor] | None]
    path: Path


def run_trial(bench: Bench, trial: Trial) -> Answer:
    """Ask one question.

    Args:
        bench: its recordings must hold the module, the stubs, and the whole model.
        trial: the question.
    """
    start = time.perf_counter()
    try:
        target = _whole(bench, trial) if not trial.module else _part(bench, trial)
        stubs = _install_stubs(bench, trial)
        answer = _export_and_run(bench, trial, target, stubs)
    except (_UnresolvedError, StubError, PackingError) as error:
        answer = Answer(Outcome(unresolved=str(error)))
    return replace(answer, outcome=replace(answer.outcome, seconds=time.perf_counter() - start))


def _whole(bench: Bench, trial: Trial) -> _Target:
    case = bench.case.minimal() if trial.minimal_options else bench.case
    options = case.options if not (trial.stubs or trial.minimal_options) else {k: v for k, v in case.options.items() if k not in _REPORTS}
    if case.f is not None and not isinstance(case.f, str | os.PathLike):
        options = {**options, "external_data": False}  # a stream takes one file
    name = os.path.basename(os.fspath(case.f)) if isinstance(case.f, str | os.PathLike) else "model.onnx"  # noqa: PTH119 - also of a string
    feeds = {
        index: torch_internals.tree_leaves((args, _in_signature_order(case, kwargs))) for index, (args, kwargs) in enumerate(case.inputs)
    }
    expected: dict[int, Any] = {}
    for index in range(len(case.inputs)):
        calls = bench.recordings[index].of("") if index in bench.recordings else []
        if calls and calls[0].output is not None:
            expected[index] = [leaf for leaf in torch_internals.tree_leaves(_output(calls[0])) if isinstance(leaf, torch.Tensor)]
    if trial.stubs and trial.minimal_options:
        expected = {}
    return _Target(case.model, case.args, case.kwargs, options, clues.Locator(bench.names), feeds, expected, bench.directory / name)


def _output(call: Call) -> Any:
    assert call.output is not None
    return unpack(call.output.template, call.output.leaves)


def _in_signature_order(case: Case, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments in the order of the forward's parameters: the order in which the graph's inputs come."""
    signature = forward_signature(case.model)
    order = list(signature.parameters) if signature is not None and case.dynamo else []
    return dict(sorted(kwargs.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))


def _part(bench: Bench, trial: Trial) -> _Target:
    calls = {index: _call(recording, trial) for index, recording in bench.recordings.items()}
    call = calls.get(0)
    if call is None or call.arguments is None:
        problem = call.problem if call is not None else "it is not called"
        raise _UnresolvedError(f"the inputs of {trial.module} cannot be recorded: {problem}")
    traced = _traced(bench, trial)
    inputs = alone.inputs_as_recorded(call) if traced is None else alone.inputs_as_traced(call, traced)
    module = bench.names.modules[trial.module]
    wrapper = alone.Alone(module, inputs.template, inputs.numbers)
    feeds: dict[int, Sequence[Any]] = {0: inputs.leaves}
    expected: dict[int, Any] = {0: None}
    if inputs.from_eager and call.output is not None:
        expected[0] = call.output.tensors()
        for index, other in calls.items():
            if index and other is not None and other.arguments is not None and other.output is not None:
                feeds[index], expected[index] = list(other.arguments.leaves), other.output.tensors()
    options = bench.case.submodule_options()
    if bench.case.dynamo:
        shapes = alone.dynamic_shapes(inputs, required=bench.require_dynamic)
        options |= {} if shapes is None else {"dynamic_shapes": shapes}
    else:
        axes = alone.dynamic_axes([found for found in calls.values() if found is not None]) if bench.case.asks_dynamic else {}
        options |= {"input_names": [f"input_{i}" for i in range(len(inputs.leaves))], "dynamic_axes": axes} if axes else {}
    locator = clues.Locator(bench.names, trial.module, alone.INNER)
    return _Target(wrapper, tuple(inputs.leaves), {}, options, locator, feeds, expected, bench.directory / "model.onnx")


def _call(recording: Recording, trial: Trial) -> Call | None:
    return next((call for call in recording.of(trial.module) if call.index == trial.call), None)


def _traced(bench: Bench, trial: Trial) -> Call | None:
    if trial.eager_inputs:
        return None
    found = next((call for call in bench.traced.get(trial.module, ()) if call.index == trial.call), None)
    return found if found is not None and found.arguments is not None else None


def _install_stubs(bench: Bench, trial: Trial) -> list[Stub]:
    made = []
    for fqn in sorted(trial.stubs):
        calls = {index: recording.inside(fqn, trial.module, trial.call) for index, recording in bench.recordings.items()}
        traced = bench.traced.get(fqn)
        others = [found for index, found in calls.items() if index]
        stub = Stub(fqn, type(bench.names.modules[fqn]).__name__, calls.get(0, []), traced[0] if traced else None, others)
        install(bench.names, stub, dynamo=bench.case.dynamo)
        made.append(stub)
    return made


def _export_and_run(bench: Bench, trial: Trial, target: _Target, stubs: list[Stub]) -> Answer:
    recorder = Recorder(bench.names, describe_leaf if bench.case.dynamo else lambda leaf: leaf, bench.progress.modules)

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
        failure = _export_failure(seen, target)
        passed = _stages_before(failure.stage)
        return Answer(Outcome(failure, hints=hints, passed=passed, log=seen.log), traced)
    ran = _Run(bench, target, seen, hints)
    return Answer(ran.outcome(trial), traced)


def _hints(bench: Bench, seen: capture.Export, target: _Target) -> list[Clue]:
    """Clues that do not come from the failure itself."""
    found = list(seen.fixed)
    if seen.error is not None and seen.decomposed is not None and seen.reached is Stage.TRANSLATE:
        options = target.options
        known = torch_internals.registered_targets(options.get("opset_version"), options.get("custom_translation_table"))
        if known is not None:
            found += clues.untranslatable(seen.decomposed, known, target.locator)
    if seen.error is None and seen.captured is not None:
        found += clues.drawing_random_numbers(seen.captured, target.locator)
    if not bench.case.dynamo:
        found += clues.from_tracer_warnings(seen.warned, target.locator)
    return found


def _export_failure(seen: capture.Export, target: _Target) -> Failure:
    error = seen.error
    assert error is not None
    innermost = clues.exception_chain(error)[0]
    for link in clues.exception_chain(error):
        if isinstance(link, PackingError):
            raise _UnresolvedError(f"the output of {target.locator.root or 'the model'} cannot be taken apart: {link}")
    stage = seen.reached
    if stage is Stage.CAPTURE and not seen.entered:
        stage = Stage.OPTIONS
    if stage is Stage.TRANSLATE and seen.decomposed is not None and not isinstance(error, torch.onnx.OnnxExporterError):
        stage = Stage.OPTIMIZE
    found = clues.from_exception(error, target.locator)
    if stage is Stage.CAPTURE and not found:
        found = list(seen.fixed)
    kind = type(innermost).__name__
    op = next((clue.op for clue in found if clue.op), None)
    details = "".join(traceback.format_exception(error))
    return Failure(stage, Mode.ERROR, signature(stage, Mode.ERROR, kind, op), kind, str(innermost), op, tuple(found), details)


def signature(stage: Stage, mode: Mode, exception_type: str = "", op: str | None = None) -> str:
    """The key of "the same failure". Messages hold names and sizes, so they are left out; numbers that differ are one kind."""
    if mode is not Mode.ERROR:
        return str(mode)
    if stage is Stage.COMPARE:
        return f"{stage}/{mode}"
    return "/".join([stage, mode, exception_type, *([op] if op and stage is Stage.TRANSLATE else [])])


def _stages_before(stage: Stage) -> tuple[Stage, ...]:
    order = list(Stage)
    return tuple(order[: order.index(stage)])


class _Run:
    """Load, run and compare one exported file."""

    def __init__(self, bench: Bench, target: _Target, seen: capture.Export, hints: tuple[Clue, ...]) -> None:
        self._bench, self._target, self._seen, self._hints = bench, target, seen, hints
        self._rows: list[Comparison] = []

    def outcome(self, trial: Trial) -> Outcome:
        """Go through the stages until one fails."""
        try:
            failure = self._load() or self._compare_all(trial)
        except runtime.NestedPlaceholderError:
            failure = None  # what can be exported was exported; running it would need the replaced module
        stages = _stages_before(failure.stage) if failure else tuple(Stage)
        path = str(self._target.path)
        return Outcome(failure, hints=self._hints, passed=stages, onnx_path=path, comparisons=tuple(self._rows), log=self._seen.log)

    def _load(self) -> Failure | None:
        self._bench.progress.stage(Stage.LOAD)
        self._runnable = runtime.make_runnable(self._target.path)
        try:
            self._session = runtime.open_session(self._runnable.path)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's exception types have no common base
            return self._runtime_failure(Stage.LOAD, error)
        return None

    def _compare_all(self, trial: Trial) -> Failure | None:
        for index in sorted(self._target.expected):
            expected = self._target.expected[index]
            if expected is None:
                expected = self._eager_answer()
            if expected is None:
                continue
            failure = self._compare(trial, index, expected)
            if failure is not None:
                return failure
        return None

    def _eager_answer(self) -> list[torch.Tensor] | None:
        """Eager's answer to inputs that only the capture saw; None when eager rejects them."""
        try:
            return [leaf.detach() for leaf in self._target.module(*self._target.args)]
        except Exception:  # noqa: BLE001 - then there is nothing to compare with
            return None

    def _compare(self, trial: Trial, index: int, expected: Sequence[torch.Tensor]) -> Failure | None:
        self._bench.progress.stage(Stage.RUN)
        try:
            feeds = runtime.feeds_for(self._runnable, self._target.feeds[index])
        except ValueError:
            return None
        feeds |= self._recorded_outputs(trial, index)
        try:
            got = runtime.run_session(self._session, self._runnable.outputs, feeds)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's exception types have no common base
            return self._runtime_failure(Stage.RUN, error)
        self._bench.progress.stage(Stage.COMPARE)
        case = self._bench.case
        wanted = runtime.flat_tensors(expected)
        rows = compare.compare_outputs(self._runnable.outputs, wanted, got, input_index=index, atol=case.atol, rtol=case.rtol)
        self._rows += rows
        bad = [row for row in rows if row.problem]
        return self._difference(bad) if bad else None

    def _recorded_outputs(self, trial: Trial, index: int) -> dict[str, torch.Tensor]:
        recording = self._bench.recordings.get(index)
        feeds = {}
        for hole in self._runnable.holes:
            calls = recording.inside(hole.module, trial.module, trial.call) if recording is not None else []
            call = next((found for found in calls if found.index == hole.call), None)
            if call is None or call.output is None:
                raise _UnresolvedError(f"{hole.module} was not called with these inputs")
            feeds[hole.name] = runtime.flat_tensors(call.output.tensors())[hole.output]
        return feeds

    def _difference(self, bad: list[Comparison]) -> Failure:
        first = bad[0]
        where = f"output {first.output}" + (f" with check input {first.input_index}" if first.input_index else "")
        found = tuple(clue for clue in self._hints if clue.kind in (ClueKind.SPECIALIZATION, ClueKind.TRACER_WARNING))
        key = signature(Stage.COMPARE, Mode.ERROR)
        return Failure(Stage.COMPARE, Mode.ERROR, key, "", f"{where}: {first.problem}", clues=found)

    def _runtime_failure(self, stage: Stage, error: Exception) -> Failure:
        kind = type(error).__name__
        found = self._named_nodes(stage, str(error))
        if stage is Stage.RUN:
            found = [clue for clue in self._hints if clue.kind is ClueKind.SPECIALIZATION] + found
        op = next((clue.op for clue in found if clue.op), None)
        details = "".join(traceback.format_exception(error))
        return Failure(stage, Mode.ERROR, signature(stage, Mode.ERROR, kind), kind, str(error), op, tuple(found), details)

    def _named_nodes(self, stage: Stage, message: str) -> list[Clue]:
        """Modules of the nodes that ONNX Runtime refuses, or names: its exceptions carry text only."""
        model = onnx.load(self._target.path, load_external_data=False)
        refused = runtime.refused_nodes(model) if stage is Stage.LOAD else []
        named = [node for node in model.graph.node if node.name and (f"'{node.name}'" in message or f"({node.name})" in message)]
        return clues.from_onnx_nodes(refused or named, self._target.locator)
