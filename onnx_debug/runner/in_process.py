"""Trials in the user's own process, where forking is not to be had: what they touch is put back, but a crash is the user's too."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from onnx_debug.data.call_tree import EagerReport
from onnx_debug.data.errors import PausedError
from onnx_debug.data.outcome import Clue, Outcome, Trial
from onnx_debug.data.progress import Progress
from onnx_debug.eager.calls import TracedCalls, digests
from onnx_debug.eager.describe import describe
from onnx_debug.eager.outputs import eager_outputs
from onnx_debug.eager.packing import PackingError, pack, unpack
from onnx_debug.eager.recorder import ModuleNames
from onnx_debug.explain import locate
from onnx_debug.explain.baked import baked_constants
from onnx_debug.explain.drift import seen_in_eager
from onnx_debug.explain.random_modules import random_modules, with_drawing_line
from onnx_debug.explain.wrong_module import first_wrong_module
from onnx_debug.request import remedy
from onnx_debug.request.case import Case, Inputs
from onnx_debug.runner import silence, workdir
from onnx_debug.runner.restore_state import untouched
from onnx_debug.trial import further_inputs
from onnx_debug.trial.eager_stage import EagerRun, run_eager
from onnx_debug.trial.edges import look_at_edges
from onnx_debug.trial.prepare import Bench
from onnx_debug.trial.run import run_trial

_OUTPUT, _MOST_OUTPUT = "output.log", 100_000


class InProcessLab:
    """Answers what `isolation.ForkedLab` answers, without processes and without time limits."""

    def __init__(self, case: Case, *, memory_limit: int | None = None) -> None:
        del memory_limit  # a limit would be the user's process's own
        self.directory = workdir.make()
        self._case, self._names = case, ModuleNames(case.model)
        self._board = TracedCalls()
        self._runs: dict[int, EagerRun] = {}
        self._count, self._pausing = 0, False

    def eager(self, timeout: float) -> EagerReport:
        """Run the model on the given inputs."""
        del timeout
        return self._run(0).report()

    def run(self, trial: Trial, timeout: float, *, require_dynamic: bool = False) -> Outcome:
        """Answer one trial."""
        del timeout
        self._require_no_pause()
        return self._trial(trial, self._case, require_dynamic=require_dynamic)

    def _trial(self, trial: Trial, case: Case, *, require_dynamic: bool = False) -> Outcome:
        self._count += 1
        directory = self.directory / str(self._count)
        directory.mkdir()
        runs = {index: self._run(index) for index in range(len(self._case.inputs))}
        recordings = {
            index: run.recording
            for index, run in runs.items()
            if not index or run.outcome.failure is None
        }
        with silence.printed_to(directory / _OUTPUT), untouched(self._case.model):
            bench = Bench(
                _with_copied_inputs(case),
                self._names,
                recordings,
                self._board.traced,
                directory,
                require_dynamic,
            )
            answer = run_trial(bench, trial)
        workdir.require_space(answer.outcome.failure)
        if not trial.module:
            self._board.merge(trial, answer.traced)
        printed = (directory / _OUTPUT).read_text(errors="replace")[-_MOST_OUTPUT:]
        return replace(answer.outcome, log=answer.outcome.log + printed)

    def look_beyond(self, outcome: Outcome, timeout: float) -> Outcome:
        """Other inputs than those given, and what was asked for; inputs on which ONNX differs count in all later trials."""
        self._require_no_pause()
        start = time.perf_counter()

        kept = self._run(0).set_for_good

        def eager(inputs: Inputs, *, gradients: bool = False) -> list[torch.Tensor] | None:
            with untouched(self._case.model):
                if kept:
                    eager_outputs(self._case, _copied(self._case.inputs[0]))
                return eager_outputs(self._case, _copied(inputs), gradients=gradients)

        with silence.printed_to(self.directory / _OUTPUT), untouched(self._case.model):
            found = further_inputs.look_beyond(
                self._case, outcome, eager, Progress().stage, timeout, kept
            )
            if further_inputs.wants_edges(self._case, outcome, found):
                seconds, gradients = timeout / 6, found.needs_gradients
                found = found.with_edges(
                    look_at_edges(
                        self._case, outcome, eager, Progress().stage, seconds, gradients=gradients
                    )
                )
        if found.differs is not None:
            self._case = further_inputs.adopted(self._case, outcome, found.differs)
            outcome = self._trial(Trial(""), self._case)
        return replace(further_inputs.joined(outcome, found), seconds=time.perf_counter() - start)

    def explain_numbers(self, outcome: Outcome, timeout: float) -> tuple[Clue, ...]:
        """Clues to where wrong numbers come from."""
        del timeout
        if outcome.onnx_path is None:
            return ()
        random = random_modules(*(digests(self._fresh_run(0, seed).recording) for seed in (1, 2)))
        if random:
            with silence.printed_to(self.directory / _OUTPUT), untouched(self._case.model):
                return tuple(
                    with_drawing_line(clue, _with_copied_inputs(self._case)) for clue in random
                )
        first = next((row.input_index for row in outcome.comparisons if row.problem), 0)
        with untouched(self._case.model):
            drifts = seen_in_eager(self._case, first, outcome)
        if drifts:
            return drifts
        path, locator = Path(outcome.onnx_path), locate.Locator(self._names)
        baked = (
            baked_constants(path, self._run(0).recording, self._run(first).recording, locator)
            if first
            else []
        )
        with untouched(self._case.model):
            return (
                *baked,
                *first_wrong_module(self._case, self._run(first).recording, path, first, locator),
            )

    def describe(self, fqn: str, call: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """The tensors of a recorded call."""
        return describe(self._run(0).recording, self._names, self._board.traced, fqn, call)

    def correct_options(self, timeout: float) -> tuple[tuple[str, ...], str, Outcome | None]:
        """What is wrong with the request; the call that was meant, spelled out; and its trial."""
        del timeout
        found = remedy.run(remedy.correct(self._case), lambda case: self._trial(Trial(""), case))
        return found.problems, found.call, found.outcome

    def pause(self) -> None:
        """Refuse further trials; the one under way cannot be ended."""
        self._pausing = True

    def resume(self) -> None:
        """Answer trials again."""
        self._pausing = False

    def _require_no_pause(self) -> None:
        if self._pausing:
            raise PausedError("paused before this was answered; ask again")

    def rest(self) -> None:
        """There are no processes to end."""

    def close(self, *, keep_files: bool = False) -> None:
        """Forget the recordings."""
        self._runs.clear()
        if not keep_files:
            workdir.remove(self.directory)

    def _run(self, index: int) -> EagerRun:
        if index not in self._runs:
            self._runs[index] = self._fresh_run(index)
        return self._runs[index]

    def _fresh_run(self, index: int, seed: int | None = None) -> EagerRun:
        with silence.printed_to(self.directory / _OUTPUT), untouched(self._case.model):
            after_first = index > 0 and bool(self._run(0).set_for_good)
            return run_eager(
                _with_copied_inputs(self._case),
                index,
                Progress(),
                seed=seed,
                after_first=after_first,
            )


def _with_copied_inputs(case: Case) -> Case:
    """The case with inputs of its own: a model may write to what it is given."""
    args, kwargs = _copied((case.args, case.kwargs))
    return replace(
        case,
        args=args,
        kwargs=kwargs,
        check_inputs=tuple(_copied(inputs) for inputs in case.check_inputs),
    )


def _copied(value: Any) -> Any:
    try:
        packed = pack(value)
    except PackingError:
        return value
    return unpack(
        packed.template,
        [leaf.detach().clone().requires_grad_(leaf.requires_grad) for leaf in packed.leaves],
    )
