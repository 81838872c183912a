"""What one trial exports, and what is needed to judge it: the module or the whole model, its inputs, its options, eager's answers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from onnx_debug.data.outcome import Trial, TrialKind
from onnx_debug.data.progress import Progress
from onnx_debug.eager.calls import Call, Recording
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.eager.outputs import copied, eager_outputs
from onnx_debug.eager.packing import unpack
from onnx_debug.explain import locate
from onnx_debug.onnx_file.feeds import graph_leaves
from onnx_debug.onnx_file.names import INNER
from onnx_debug.request.case import Case
from onnx_debug.torch_private import tensors
from onnx_debug.trial import submodule
from onnx_debug.trial.placeholders import Stub, install

_REPORTS = ("report", "verify", "profile", "dump_exported_program")


@dataclass
class Bench:
    """What a trial works with.

    Attributes:
        recordings: by position in `case.inputs`: what the modules that the trial needs received and
            returned in eager.
        traced: calls as earlier captures of the whole model saw them, by module.
        directory: where the exported file goes.
        require_dynamic: a size that becomes fixed is an error also for a submodule, because that is
            how the whole model fails.
    """

    case: Case
    names: ModuleNames
    recordings: dict[int, Recording]
    traced: dict[str, list[Call]]
    directory: Path
    require_dynamic: bool = False
    progress: Progress = field(default_factory=Progress)


class UnresolvedError(Exception):
    """The question cannot be asked."""


@dataclass
class Target:
    """What is exported in this trial, and what eager makes of it.

    Attributes:
        feeds: for each inputs position, the flat list of what is passed.
        expected: for each inputs position, the tensors that eager returns; None: run it to know.
        untried: positions of inputs for which this export does not hold: a part of the model whose
            sizes were fixed for the export is never run on others.
        inputs_as_in_eager: as in `Outcome`.
    """

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    locator: locate.Locator
    feeds: Mapping[int, Sequence[Any]]
    expected: Mapping[int, Sequence[torch.Tensor] | None]
    path: Path
    untried: Sequence[int] = ()
    inputs_as_in_eager: bool = False


def whole_target(bench: Bench, trial: Trial) -> Target:
    """The whole model, called as the user calls it."""
    case, neutral = bench.case, trial.kind is not TrialKind.EXPORT
    options = (
        {k: v for k, v in case.options.items() if k not in _REPORTS}
        if trial.stubs or neutral
        else case.options
    )
    if case.f is not None and not isinstance(case.f, str | os.PathLike):
        options = {**options, "external_data": False}  # a stream takes one file
    name = Path(os.fspath(case.f)).name if isinstance(case.f, str | os.PathLike) else "model.onnx"
    feeds = {index: graph_leaves(case, inputs) for index, inputs in enumerate(case.inputs)}
    expected: dict[int, Any] = {}
    for index, inputs in enumerate(case.inputs):
        if case.has_own_answers:
            expected[index] = eager_outputs(case, copied(inputs))
            continue
        calls = bench.recordings[index].of("") if index in bench.recordings else []
        if calls and calls[0].output is not None:
            expected[index] = [
                leaf
                for leaf in tensors.tree_leaves(_output(calls[0]))
                if isinstance(leaf, torch.Tensor)
            ]
    if trial.stubs and neutral:
        expected = {}
    return Target(
        case.model,
        case.args,
        case.kwargs,
        options,
        locate.Locator(bench.names),
        feeds,
        expected,
        bench.directory / name,
    )


def _output(call: Call) -> Any:
    assert call.output is not None
    return unpack(call.output.template, call.output.leaves)


def part_target(bench: Bench, trial: Trial) -> Target:
    """A submodule in its wrapper, with the inputs that it gets inside the model.

    Raises:
        UnresolvedError: those inputs could not be recorded.
    """
    calls = {index: _call(recording, trial) for index, recording in bench.recordings.items()}
    call = calls.get(0)
    if call is None or call.arguments is None:
        problem = call.problem if call is not None else "it is not called"
        raise UnresolvedError(f"the inputs of {trial.module} cannot be recorded: {problem}")
    others = {index: found for index, found in calls.items() if index and found is not None}
    inputs = inputs_alone(bench, trial, call, list(others.values()))
    module = bench.names.modules[trial.module]
    returned = call.output.tensors() if call.output is not None else None
    wrapper = submodule.Alone(module, inputs.template, inputs.numbers, inputs.leaves, returned)
    feeds: dict[int, Sequence[Any]] = {0: inputs.leaves}
    expected: dict[int, Any] = {0: returned if inputs.from_eager else None}
    for index, other in others.items():
        if inputs.takes(other) and other.arguments is not None and other.output is not None:
            feeds[index], expected[index] = list(other.arguments.leaves), other.output.tensors()
    return Target(
        wrapper,
        tuple(inputs.leaves),
        {},
        bench.case.submodule_options() | _border_alone(bench, inputs),
        locate.Locator(bench.names, trial.module, INNER),
        feeds,
        expected,
        bench.directory / "model.onnx",
        untried=tuple(index for index in others if index not in feeds),
        inputs_as_in_eager=inputs.as_in_eager,
    )


def inputs_alone(
    bench: Bench, trial: Trial, call: Call, others: Sequence[Call]
) -> submodule.AloneInputs:
    """What a submodule is given when it is exported by itself."""
    assert call.arguments is not None
    static = [()] * len(call.arguments.leaves)
    varying = submodule.varying_sizes([call, *others]) if bench.case.asks_dynamic else static
    traced = _traced(bench, trial)
    if traced is None:
        return submodule.inputs_as_recorded(call, varying)
    return submodule.inputs_as_traced(call, traced, varying)


def _border_alone(bench: Bench, inputs: submodule.AloneInputs) -> dict[str, Any]:
    """The options that say which sizes of the inputs are dynamic, and what the inputs are called."""
    if bench.case.dynamo:
        shapes = submodule.dynamic_shapes(inputs, required=bench.require_dynamic)
        return {} if shapes is None else {"dynamic_shapes": shapes}
    # Tracing leaves out the inputs that nothing uses: by their names the others are known.
    names = [f"input_{i}" for i in range(len(inputs.leaves))]
    return {"input_names": names, "dynamic_axes": submodule.dynamic_axes(inputs)}


def _call(recording: Recording, trial: Trial) -> Call | None:
    return next((call for call in recording.of(trial.module) if call.index == trial.call), None)


def _traced(bench: Bench, trial: Trial) -> Call | None:
    if trial.kind is TrialKind.EAGER_INPUTS:
        return None
    found = next(
        (call for call in bench.traced.get(trial.module, ()) if call.index == trial.call), None
    )
    return found if found is not None and found.arguments is not None else None


def install_stubs(bench: Bench, trial: Trial) -> list[Stub]:
    """Put a placeholder in the place of every module that the trial replaces.

    Raises:
        StubError: one of them cannot be replaced.
    """
    made = []
    for fqn in sorted(trial.stubs):
        calls = {
            index: recording.inside(fqn, trial.module, trial.call)
            for index, recording in bench.recordings.items()
        }
        traced = bench.traced.get(fqn)
        others = [found for index, found in calls.items() if index]
        stub = Stub(
            fqn,
            type(bench.names.modules[fqn]).__name__,
            calls.get(0, []),
            traced[0] if traced else None,
            others,
        )
        install(bench.names, stub, dynamo=bench.case.dynamo)
        made.append(stub)
    return made
