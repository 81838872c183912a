"""From what was found to fixes: the changes that may help, tried together on the whole case.

Each kind of blocker has its own line of changes: what answers to the failing line or operator comes
first, then what costs least. The first of each are tried together; where the case still fails, the
blocker that is named takes its next one. So blockers of several kinds are fixed together, and
nothing is shown that was not tried as a whole. After a fix, what would cost the user less is tried
as well. Where a blocker is left without a change, the others are tried without it: the export then
gets further, and how far is said.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from onnx_debug.data.culprit import Culprit
from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.failure import ClueKind, Failure
from onnx_debug.data.fix import Fix, PartWay
from onnx_debug.data.outcome import Outcome
from onnx_debug.data.stage import Mode, Stage
from onnx_debug.request.case import Case
from onnx_debug.runner.runner import Runner, UnansweredError
from onnx_debug.session.fixes.blockers import blockers_of
from onnx_debug.session.fixes.change import Change, Cost
from onnx_debug.session.fixes.families import noise
from onnx_debug.session.fixes.try_changes import TryChanges, TryChangesFurther
from onnx_debug.session.fixes.write import code_of
from onnx_debug.trial import further_inputs

MOST_TRIALS = 8  # of the whole case
MOST_CHEAPER = 2  # of them after the first fix
SHORTEST = 30.0  # seconds that the search for fixes may take in any case

Changes = tuple[Change, ...]


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
        self._failure = failure
        self._left = max(
            SHORTEST, seconds
        )  # of work: a user who steps may think as long as they like
        self._blockers = blockers_of(case, failure, culprits, self._draws(failure, culprits))
        every = (change for blocker in self._blockers for change in blocker.changes)
        self._alone = [change for change in dict.fromkeys(every) if change.alone]
        for blocker in self._blockers:
            blocker.changes = [change for change in blocker.changes if not change.alone]
        self._seen: set[Changes] = set()
        self._passed: dict[Changes, Fix] = {}
        self._cheaper = 0
        self.part_way: PartWay | None = None

    @property
    def fixes(self) -> tuple[Fix, ...]:
        """What passed: what costs the user least first, then what comes nearest to eager."""

        def rank(changes: Changes) -> tuple[Cost, int, float]:
            return _cost(changes), len(changes), self._passed[changes].max_abs_diff

        return tuple(self._passed[changes] for changes in sorted(self._passed, key=rank))

    def next(self) -> Changes:
        """What to try now; empty when the search is over."""
        if len(self._seen) >= MOST_TRIALS or self._left <= 0:
            return ()
        untried = (one for one in self._candidates() if one and one not in self._seen)
        return next(untried, ())

    def ask(self, changes: Changes) -> Outcome:
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
        self._cheaper += bool(self._passed)
        if outcome.ok and any(row.total for row in outcome.comparisons):
            self._passed[changes] = _fix(self._case, changes, outcome)
        elif not self._passed:
            self._learn(changes, outcome)
        return outcome

    # --- what to try

    def _candidates(self) -> Iterator[Changes]:
        if self._passed:
            yield from self._cheaper_ones()
            return
        yield from ((change,) for change in self._alone if change.likely)
        at_hand = self._at_hand()
        if all(blocker.change is not None for blocker in self._blockers):
            yield at_hand
        yield from ((change,) for change in self._alone)
        yield at_hand  # some blockers are left

    def _at_hand(self) -> Changes:
        """The change at hand of each blocker that has one."""
        found = (blocker.change for blocker in self._blockers)
        return tuple(dict.fromkeys(change for change in found if change is not None))

    def _cheaper_ones(self) -> Iterator[Changes]:
        """The best fix, with a cheaper change in the place of its dearest one."""
        best = min(self._passed, key=_cost)
        dearest = max(best, key=lambda change: change.cost)
        if dearest.cost < Cost.OPERATORS or self._cheaper >= MOST_CHEAPER:
            return
        for blocker in self._blockers:
            if dearest not in blocker.changes:
                continue
            for other in blocker.changes:
                if other.cost < dearest.cost:
                    changed = (other if change == dearest else change for change in best)
                    yield tuple(dict.fromkeys(changed))

    # --- what was learned

    def _learn(self, changes: Changes, outcome: Outcome) -> None:
        if changes != self._at_hand():
            return  # by itself: it says nothing about the others
        helped = [blocker for blocker in self._blockers if blocker.change is not None]
        if len(helped) < len(self._blockers) and self._gets_past(changes, outcome.failure):
            self.part_way = _part_way(self._case, changes, outcome)
            return
        named = [blocker for blocker in helped if blocker.is_named_by(outcome.failure)]
        for blocker in (*named, *helped):
            if blocker.at + 1 < len(blocker.changes) or blocker in named:
                blocker.at += 1
                return
        for blocker in self._blockers:  # nothing is left
            blocker.at = len(blocker.changes)

    def _gets_past(self, changes: Changes, failure: Failure | None) -> bool:
        """Whether the case, with some of its blockers changed, fails only at what is left."""
        if failure is None or not changes:
            return False
        changed = [blocker for blocker in self._blockers if blocker.change in changes]
        left = [blocker for blocker in self._blockers if blocker.change is None]
        stages = list(Stage)
        later = stages.index(failure.stage) > stages.index(self._failure.stage)
        past = not any(blocker.is_named_by(failure) for blocker in changed)
        return past and (later or any(blocker.is_named_by(failure) for blocker in left))

    # --- asking

    def _draws(self, failure: Failure, culprits: tuple[Culprit, ...]) -> tuple[noise.Draw, ...]:
        """The random tensors that the model draws, where they are suspected."""
        failures = (failure, *(culprit.failure for culprit in culprits))
        clues = (clue for one in failures for clue in one.clues)
        if all(clue.kind is not ClueKind.RANDOM for clue in clues):
            return ()
        try:
            return self._runner.ask(noise.LookForDraws(), self._timeout)
        except UnansweredError:
            return ()

    def _export(self, changes: Changes) -> Outcome:
        start = time.perf_counter()
        try:
            outcome = self._runner.ask(TryChanges(changes), self._timeout).outcome
        except UnansweredError as error:
            outcome = error.outcome
        return replace(outcome, seconds=time.perf_counter() - start)

    def _further(self, changes: Changes, outcome: Outcome) -> Outcome:
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


def fixes_for(case: Case, runner: Runner, found: Diagnosis, timeout: float) -> FixSearch | None:
    """The search for fixes of what was found; None where there is nothing to fix, or nothing to change."""
    failure = found.failure
    if failure is None or failure.stage in (Stage.EAGER, Stage.OPTIONS) or found.unresolved:
        return None
    if failure.mode in (Mode.TIMEOUT, Mode.MEMORY):  # every try would take as long
        return None
    return FixSearch(case, runner, failure, found.culprits, timeout, 2 * found.seconds)


def titles(changes: Changes) -> str:
    """All of them in one line."""
    return " and ".join(change.title for change in changes)


def _cost(changes: Changes) -> Cost:
    return max(change.cost for change in changes)


def _fix(case: Case, changes: Changes, outcome: Outcome) -> Fix:
    said = list(dict.fromkeys(change.explanation for change in changes))
    if any(change.new_answers for change in changes):
        said.append("Its answers are new: the file was compared with the changed model.")
    return Fix(
        titles(changes),
        " ".join(said),
        outcome,
        max((row.max_abs_diff for row in outcome.comparisons), default=0.0),
        len(changes),
        diff=_diff(case, changes),
        code=code_of(case, changes),
    )


def _part_way(case: Case, changes: Changes, outcome: Outcome) -> PartWay:
    assert outcome.failure is not None
    said = " ".join(dict.fromkeys(change.explanation for change in changes))
    code = code_of(case, changes)
    return PartWay(titles(changes), said, outcome.failure, diff=_diff(case, changes), code=code)


def _diff(case: Case, changes: Changes) -> str:
    return "\n".join(filter(None, (change.diff(case) for change in changes)))
