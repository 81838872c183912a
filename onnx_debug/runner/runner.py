"""What a session asks, in terms of questions that are answered in a fork or in this process."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TypeVar

from onnx_debug.data.call_tree import EagerReport
from onnx_debug.data.failure import Clue, Failure
from onnx_debug.data.module_info import TensorInfo
from onnx_debug.data.outcome import Outcome, Trial
from onnx_debug.eager.calls import TracedCalls
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.explain.random_modules import random_modules
from onnx_debug.request import remedy
from onnx_debug.request.case import Case
from onnx_debug.runner import workdir
from onnx_debug.runner.questions import (
    DescribeCall,
    FindDrawingLine,
    FindDrift,
    FindWrongValues,
    FurtherCheck,
    Question,
    RunWithSeed,
    TryEdges,
    TryExport,
    TryFurtherInputs,
)
from onnx_debug.trial import further_inputs
from onnx_debug.trial.further_inputs import Beyond

T = TypeVar("T")


class UnansweredError(Exception):
    """A question has no answer.

    Attributes:
        failure: the model or the exporter ended the process: that is an answer of its own.
        log: what the process printed, or the traceback of a mistake of onnx_debug.
    """

    def __init__(self, why: str, *, failure: Failure | None = None, log: str = "") -> None:
        super().__init__(why)
        self.failure, self.log = failure, log

    @property
    def outcome(self) -> Outcome:
        """The same as the outcome of a trial: without a failure nobody knows, and that is our fault."""
        if self.failure is not None:
            return Outcome(self.failure, log=self.log)
        return Outcome(unresolved=str(self), ours=True, log=self.log)


class Runner(ABC):
    """Holds what is known of one case, and asks. Times are seconds; all that asks may raise `PausedError`.

    Args:
        case: the export to work on.
    """

    isolated = False  # whether each question has a process of its own, whose model it may change

    def __init__(self, case: Case) -> None:
        self.directory = workdir.make()
        self._case, self._names = case, ModuleNames(case.model)
        self._traced = TracedCalls()
        self._checks: tuple[FurtherCheck, ...] = ()
        self._set_for_good: tuple[str, ...] = ()

    @abstractmethod
    def _eager(self, timeout: float) -> EagerReport:
        """Run the model on the given inputs.

        Raises:
            UnansweredError: nobody knows what became of it, or it died.
        """

    @abstractmethod
    def ask(self, question: Question[T], timeout: float) -> T:
        """The answer to a question.

        Raises:
            UnansweredError: there is none.
        """

    @abstractmethod
    def pause(self) -> None:
        """From another thread: end the question under way within a second, where that is possible."""

    @abstractmethod
    def resume(self) -> None:
        """Answer questions again."""

    @abstractmethod
    def rest(self) -> None:
        """End all processes until something is asked."""

    @abstractmethod
    def close(self, *, keep_files: bool = False) -> None:
        """End all processes and forget the recordings."""

    def eager(self, timeout: float) -> EagerReport:
        """Run the model on the given inputs."""
        try:
            report = self._eager(timeout)
        except UnansweredError as error:
            return EagerReport(error.outcome, self._names.infos({}))
        self._set_for_good = report.set_for_good
        return report

    def run(self, trial: Trial, timeout: float, *, require_dynamic: bool = False) -> Outcome:
        """Answer one trial."""
        return self._export(TryExport(trial, require_dynamic), timeout)

    def look_beyond(self, outcome: Outcome, timeout: float) -> Outcome:
        """Try other inputs than those given, and look at what was asked for.

        Inputs on which the file differs count in all later trials.
        """
        start = time.perf_counter()
        try:
            question = TryFurtherInputs(outcome, timeout / 2, self._set_for_good)
            found = self.ask(question, timeout)
        except UnansweredError as error:
            why = f"Other inputs than those given could not all be tried: {error}."
            found = Beyond(asked=outcome.asked, notes=(why,))
            if error.failure is None:
                outcome = replace(outcome, unresolved=why, ours=True, log=error.log)
        else:
            if further_inputs.wants_edges(self._case, outcome, found):
                found = self._with_edges(found, outcome, timeout)
        if found.differs is not None:
            outcome = self._agree_on_more(outcome, found.differs, timeout)
        seconds = time.perf_counter() - start
        return replace(further_inputs.joined(outcome, found), seconds=seconds)

    def _with_edges(self, found: Beyond, outcome: Outcome, timeout: float) -> Beyond:
        edges = TryEdges(outcome, timeout / 6, self._set_for_good, found.needs_gradients)
        try:
            return replace(found, edges=(*found.edges, *self.ask(edges, timeout)))
        except UnansweredError as error:
            note = f"Inputs at the edges could not be tried: {error}."
            return replace(found, notes=(*found.notes, note))

    def explain_numbers(self, outcome: Outcome, timeout: float) -> tuple[Clue, ...]:
        """Clues to where wrong numbers come from: chance, or rounding, or else a constant or a module."""
        if outcome.onnx_path is None:
            return ()
        runs = [self._ask(RunWithSeed(seed), timeout, []) for seed in (1, 2)]
        if random := random_modules(*runs):
            return tuple(self._ask(FindDrawingLine(clue), timeout, clue) for clue in random)
        first = next((row.input_index for row in outcome.comparisons if row.problem), 0)
        drift = self._ask(FindDrift(outcome, first), timeout, ())
        return drift or self._ask(FindWrongValues(outcome.onnx_path, first), timeout, ())

    def describe(
        self, fqn: str, call: int
    ) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
        """The tensors that went into a recorded call, and those that came out."""
        return self._ask(DescribeCall(fqn, call), 60.0, ((), ()))

    def correct_options(self, timeout: float) -> remedy.Correction:
        """What is wrong with the request; the call that works, spelled out; and its trial."""
        tried: list[Outcome] = []

        def export(_: Case) -> Outcome:
            tried.append(self._export(TryExport(Trial(""), remedies=tuple(tried)), timeout))
            return tried[-1]

        return remedy.run(remedy.correct(self._case), export)

    def _export(self, question: TryExport, timeout: float) -> Outcome:
        start = time.perf_counter()
        try:
            answer = self.ask(question, timeout)
        except UnansweredError as error:
            outcome = error.outcome
        else:
            outcome = answer.outcome
            self._traced.merge(question.trial, answer.traced)
        workdir.require_space(outcome.failure)
        return replace(outcome, seconds=time.perf_counter() - start)

    def _agree_on_more(self, outcome: Outcome, position: int, timeout: float) -> Outcome:
        """Try the whole model on one more set of inputs, and stay with it once that is answered."""
        before = self._checks
        self._checks = (*before, FurtherCheck(replace(outcome, log=""), position))
        try:
            return self.run(Trial(""), timeout)
        except BaseException:
            self._checks = before
            raise

    def _ask(self, question: Question[T], timeout: float, default: T) -> T:
        """The answer, or `default` where its lack only means to know less."""
        try:
            return self.ask(question, timeout)
        except UnansweredError:
            return default
