"""Asks the runner for trials, tells who listens, and remembers what they answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from onnx_debug.data.diagnosis import Step
from onnx_debug.data.errors import PausedError, SessionClosedError
from onnx_debug.data.events import Event, TrialFinished, TrialStarted
from onnx_debug.data.failure import ClueKind
from onnx_debug.data.module_info import ModuleCall
from onnx_debug.data.outcome import Outcome, Trial, TrialKind
from onnx_debug.data.stage import Mode, Stage
from onnx_debug.runner.runner import Runner
from onnx_debug.session.search.findings import needs_number_clues, with_number_clues

_PART_OF_LIMIT = 4  # a part of a model that hangs gets this fraction of the whole's time
_SHORTEST_LIMIT = 5.0  # seconds


class Trials:
    """The trials of one session.

    Args:
        runner: answers them.
        timeout: seconds for one trial.
        tell: called with each event.

    Attributes:
        tell: the same; another may take its place.
        outcomes: what each trial answered last.
        steps: the history, in order.
    """

    def __init__(self, runner: Runner, timeout: float, tell: Callable[[Event], None]) -> None:
        self._runner, self._timeout, self.tell = runner, timeout, tell
        self.outcomes: dict[Trial, Outcome] = {}
        self.steps: list[Step] = []
        self._described: dict[tuple[str, int], ModuleCall] = {}

    @property
    def whole(self) -> Outcome | None:
        """What the whole model answered."""
        return self.outcomes.get(Trial(""))

    def ask(self, trial: Trial, why: str) -> tuple[Step, Outcome]:
        """Run one trial. What is interrupted here leaves no trace.

        Raises:
            PausedError: it was given up.
        """
        number = len(self.steps) + 1
        self.tell(TrialStarted(number, trial, why))
        outcome = self._run(trial)
        if needs_number_clues(trial, outcome):
            found = self._runner.explain_numbers(outcome, self._timeout)
            outcome = with_number_clues(outcome, found)
        further = trial.kind is TrialKind.FURTHER_INPUTS  # a part of the whole model's answer
        self.outcomes[replace(trial, kind=TrialKind.EXPORT) if further else trial] = outcome
        step = _step(trial, why, outcome)
        self.steps.append(step)
        self.tell(TrialFinished(number, step))
        return step, outcome

    def ask_changed(self, why: str, ask: Callable[[], Outcome]) -> Step:
        """Ask something about a changed case, and put it down in the history.

        Raises:
            PausedError: it was given up.
        """
        number, trial = len(self.steps) + 1, Trial("")
        self.tell(TrialStarted(number, trial, why))
        step = replace(_step(trial, why, ask()), changed=True)
        self.steps.append(step)
        self.tell(TrialFinished(number, step))
        return step

    def describe(self, fqn: str, call: int) -> ModuleCall:
        """The tensors of a recorded call; without them where nobody can be asked now."""
        key = (fqn, call)
        if key not in self._described:
            try:
                self._described[key] = ModuleCall(call, *self._runner.describe(fqn, call))
            except (PausedError, SessionClosedError):
                return ModuleCall(call)  # asked again when the session goes on
        return self._described[key]

    def _run(self, trial: Trial) -> Outcome:
        if trial.kind is TrialKind.FURTHER_INPUTS:
            return self._runner.look_beyond(self.outcomes[Trial("")], self._timeout)
        dynamic = self.needs_dynamic_sizes()
        return self._runner.run(trial, self._limit(trial), require_dynamic=dynamic)

    def _limit(self, trial: Trial) -> float:
        """Seconds for one trial: where the whole model hangs, its parts get less."""
        failure = self.whole.failure if self.whole is not None else None
        if failure is None or failure.mode is not Mode.TIMEOUT or not trial.module:
            return self._timeout
        return min(self._timeout, max(_SHORTEST_LIMIT, self._timeout / _PART_OF_LIMIT))

    def needs_dynamic_sizes(self) -> bool:
        """Whether the whole model fails in its capture because a dynamic size was specialized: then that is a failure of its parts too."""
        failure = self.whole.failure if self.whole is not None else None
        if failure is None or failure.stage is not Stage.CAPTURE:
            return False
        return any(clue.kind is ClueKind.SPECIALIZATION for clue in failure.clues)


def _step(trial: Trial, why: str, outcome: Outcome) -> Step:
    """One line of the history."""
    failure = outcome.failure
    return Step(
        trial.module,
        tuple(sorted(trial.stubs)),
        trial.call,
        why,
        outcome.verdict,
        outcome.seconds,
        failure.stage if failure is not None else None,
        failure.mode if failure is not None else None,
        failure.message.split("\n", 1)[0] if failure is not None else outcome.undecided,
        trial.kind is TrialKind.FURTHER_INPUTS,
        outcome.ours,
        trial.kind in (TrialKind.NEUTRAL, TrialKind.DEFAULT_OPTIONS),
    )
