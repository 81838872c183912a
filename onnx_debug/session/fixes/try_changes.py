"""The questions by which a change becomes a fix: does the whole case export with it, and does the file agree with eager?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from onnx_debug.data.outcome import Outcome, Trial
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.eager.outputs import eager_outputs
from onnx_debug.request.case import Case, Inputs
from onnx_debug.runner.questions import Context, Question, logged
from onnx_debug.session.fixes.change import Change
from onnx_debug.trial import further_inputs
from onnx_debug.trial.prepare import Bench
from onnx_debug.trial.run import Answer, run_trial


def changed(case: Case, changes: Sequence[Change]) -> Case:
    """The case with all changes, which may change its model in place."""
    case = replace(case, own_answers=any(change.new_answers for change in changes))
    for change in changes:
        case = change.apply(case)
    return case


@dataclass(frozen=True)
class TryChanges(Question[Answer]):
    """Does the whole case export, load, run and match with these changes?"""

    changes: tuple[Change, ...]

    @property
    def needs(self) -> frozenset[str]:
        """What the unchanged model returned."""
        return frozenset({""})

    def run(self, context: Context) -> Answer:
        """Change the case and export it."""
        try:
            case = changed(context.case, self.changes)
        except Exception as error:  # noqa: BLE001 - a change that does not fit this model is no fix, and no fault
            return Answer(Outcome(unresolved=f"it cannot be applied: {error}"))
        bench = Bench(
            case,
            ModuleNames(case.model),
            context.recordings,
            {},
            context.directory,
            progress=context.progress,
        )
        return logged(run_trial(bench, Trial("")), context.directory)


@dataclass(frozen=True)
class TryChangesFurther(Question[further_inputs.Beyond]):
    """Does the changed file agree with eager on other values and sizes, and is it what was asked for?

    Attributes:
        outcome: of the trial that exported the file.
        seconds: no new inputs are tried after that time.
    """

    changes: tuple[Change, ...]
    outcome: Outcome
    seconds: float

    def run(self, context: Context) -> further_inputs.Beyond:
        """Compare with the unchanged model, or with the changed one where its answers are new by intent.

        The unchanged model answers from this process, or from a fork of it: so nothing is changed
        here but the call. The file was made elsewhere.
        """
        new = any(change.new_answers for change in self.changes)
        applied = self.changes if new else [change for change in self.changes if change.is_call]
        case = changed(context.case, applied)
        eager = _Changed(case) if new else context.eager_outputs
        return further_inputs.look_beyond(
            case, self.outcome, eager, context.progress.stage, self.seconds
        )


@dataclass(frozen=True)
class _Changed:
    """What the changed model answers; None where it rejects the inputs."""

    case: Case

    def __call__(self, inputs: Inputs, *, gradients: bool) -> list[torch.Tensor] | None:
        try:
            return eager_outputs(self.case, inputs, gradients=gradients)
        except Exception:  # noqa: BLE001 - whatever a model raises, it rejects these inputs
            return None
