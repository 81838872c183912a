"""From what was found to fixes: the changes that may help, tried together on the whole case.

What answers to the failing line or operator comes first, then what costs least.

Each kind of blocker has its own line of changes. The first of each are tried together; where the
case still fails, the blocker that is named then takes its next one. So blockers of several kinds
are fixed together, and nothing is shown that was not tried as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from onnx_debug.data.culprit import Culprit
from onnx_debug.data.diagnosis import Diagnosis, Fix
from onnx_debug.data.failure import Failure
from onnx_debug.data.outcome import Outcome
from onnx_debug.data.stage import Mode, Stage
from onnx_debug.request.case import Case
from onnx_debug.runner.runner import Runner, UnansweredError
from onnx_debug.session.fixes.change import Change
from onnx_debug.session.fixes.families import borders, call, control_flow, model, operators
from onnx_debug.session.fixes.try_changes import TryChanges, TryChangesFurther
from onnx_debug.session.fixes.write import code_of
from onnx_debug.trial import further_inputs

MOST_TRIALS = 7  # of the whole case
SHORTEST = 30.0  # seconds that the search for fixes may take in any case


@dataclass
class _Blocker:
    """One kind of blocker, and the changes that may help against it, in the order in which they are tried.

    Attributes:
        at: position of the one to try now; beyond the last, nothing is left.
    """

    fqns: set[str]
    failure: Failure
    changes: list[Change] = field(default_factory=list)
    at: int = 0

    @property
    def change(self) -> Change | None:
        return self.changes[self.at] if self.at < len(self.changes) else None


class FixSearch:
    """Tries changes until the whole case passes, or none is left.

    Args:
        case: the export.
        runner: asks the questions.
        failure: of the whole model.
        culprits: what blocks it.
        timeout: seconds for one trial.
        seconds: for all of them.
    """

    def __init__(
        self,
        case: Case,
        runner: Runner,
        failure: Failure,
        culprits: tuple[Culprit, ...],
        timeout: float,
        seconds: float,
    ) -> None:
        self._case, self._runner, self._timeout = case, runner, timeout
        self._left = max(
            SHORTEST, seconds
        )  # of work: a user who steps may think as long as they like
        self._blockers = list(_blockers(case, failure, culprits))
        self._seen: set[tuple[Change, ...]] = set()
        self.fixes: list[Fix] = []

    def next(self) -> tuple[Change, ...]:
        """What to try now; empty when the search is over."""
        if self.fixes or len(self._seen) >= MOST_TRIALS or self._left <= 0:
            return ()
        while True:
            found = [blocker.change for blocker in self._blockers]
            together = tuple(dict.fromkeys(change for change in found if change is not None))
            if None in found or together in self._seen:
                return ()
            single = next((change for change in together if change.alone), None)
            if len(together) == 1 or single is None:
                return together
            for blocker in self._blockers:  # what is tried by itself only helps nobody here
                blocker.at += blocker.change == single

    def ask(self, changes: tuple[Change, ...]) -> Outcome:
        """Try these changes on the whole case.

        Raises:
            PausedError: nothing was learned.
        """
        start = time.monotonic()
        outcome = self._export(changes)
        refused = next(filter(None, (change.refuses(outcome) for change in changes)), "")
        if outcome.ok and refused:
            outcome = replace(outcome, unresolved=refused, passed=())
        if outcome.ok:
            outcome = self._further(changes, outcome)
        self._left -= time.monotonic() - start
        self._seen.add(changes)
        if outcome.ok and any(row.total for row in outcome.comparisons):
            self.fixes.append(_fix(self._case, changes, outcome))
        else:
            self._advance(outcome.failure)
        return outcome

    def _export(self, changes: tuple[Change, ...]) -> Outcome:
        start = time.perf_counter()
        try:
            outcome = self._runner.ask(TryChanges(changes), self._timeout).outcome
        except UnansweredError as error:
            outcome = error.outcome
        return replace(outcome, seconds=time.perf_counter() - start)

    def _further(self, changes: tuple[Change, ...], outcome: Outcome) -> Outcome:
        """The outcome with what other values and sizes show; a difference there is a failure of the change."""
        question = TryChangesFurther(changes, outcome, self._timeout / 4)
        try:
            found = self._runner.ask(question, self._timeout)
        except UnansweredError as error:
            return replace(
                outcome, unresolved=f"other inputs could not be tried: {error}", passed=()
            )
        joined = further_inputs.joined(outcome, found)
        if found.differs is None:
            return joined
        wrong = next((row for row in found.comparisons if row.problem), None)
        said = f"{wrong.inputs}: {wrong.problem}" if wrong is not None else "it answers otherwise"
        return replace(outcome, unresolved=f"on other inputs, {said}", passed=())

    def _advance(self, failure: Failure | None) -> None:
        """The blocker that the case fails at now takes its next change; else the first that has one."""
        clue = failure.clues[0] if failure is not None and failure.clues else None
        named = [
            blocker
            for blocker in self._blockers
            if clue is not None
            and (clue.fqn in blocker.fqns or (clue.op and clue.op == blocker.failure.op))
        ]
        for blocker in (*named, *self._blockers):
            if blocker.at + 1 < len(blocker.changes):
                blocker.at += 1
                return
        for blocker in self._blockers:  # nothing is left
            blocker.at = len(blocker.changes)


def fixes_for(case: Case, runner: Runner, found: Diagnosis, timeout: float) -> FixSearch | None:
    """The search for fixes of what was found; None where there is nothing to fix, or nothing to change."""
    failure = found.failure
    if failure is None or failure.stage in (Stage.EAGER, Stage.OPTIONS) or found.unresolved:
        return None
    if failure.mode in (Mode.TIMEOUT, Mode.MEMORY):  # every try would take as long
        return None
    return FixSearch(case, runner, failure, found.culprits, timeout, 2 * found.seconds)


def _blockers(case: Case, failure: Failure, culprits: tuple[Culprit, ...]) -> Iterator[_Blocker]:
    """Culprits of one line, or of one operator, are one blocker; a failure without culprit is one too."""
    found: dict[object, _Blocker] = {}
    every_op = [op for culprit in culprits for op in _operators(culprit)]
    for culprit in culprits:
        by_op = operators.proposals(case, every_op if _operators(culprit) else ())
        own = [*control_flow.proposals(case, culprit), *by_op]
        key = tuple(own) or (culprit.failure.signature, culprit.source)
        blocker = found.setdefault(key, _Blocker(set(), culprit.failure, own))
        blocker.fqns.add(culprit.fqn)
    blockers = list(found.values()) or [_Blocker({""}, failure)]
    for blocker in blockers:
        general = (*call.proposals(case, blocker.failure), *model.proposals(case, blocker.failure))
        blocker.changes += general
        blocker.changes += borders.proposals(case, blocker.failure, blocker.fqns)
        blocker.changes.sort(key=lambda change: (not change.likely, change.cost))
    yield from blockers


def _operators(culprit: Culprit) -> list[str]:
    """The operators that fail there."""
    found = [culprit.op, culprit.failure.op, *(clue.op for clue in culprit.failure.clues)]
    stages = (Stage.TRANSLATE, Stage.LOAD, Stage.RUN, Stage.COMPARE)
    return [op for op in found if op] if culprit.failure.stage in stages else []


def _fix(case: Case, changes: tuple[Change, ...], outcome: Outcome) -> Fix:
    diffs = [change.diff(case) for change in changes]
    said = list(dict.fromkeys(change.explanation for change in changes))
    if any(change.new_answers for change in changes):
        said.append("Its answers are new: the file was compared with the changed model.")
    return Fix(
        titles(changes),
        " ".join(said),
        outcome,
        max((row.max_abs_diff for row in outcome.comparisons), default=0.0),
        diff="\n".join(filter(None, diffs)),
        code=code_of(case, changes),
    )


def titles(changes: tuple[Change, ...]) -> str:
    """All of them in one line."""
    return " and ".join(change.title for change in changes)
