"""Find a culprit that nothing names, by replacing halves of a module's children by placeholders. No torch."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from onnx_debug.data.culprit import Proof, ProofKind
from onnx_debug.data.failure import Failure
from onnx_debug.data.outcome import Outcome, Trial
from onnx_debug.session.search.ddmin import smallest_failing
from onnx_debug.session.search.findings import Finding, NextTrial, alike
from onnx_debug.session.search.inquiry import Inquiry, Proving, replacing


class Bisection:
    """Goes from a module that fails down to the smallest part of it that fails."""

    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry = inquiry

    def below(self, fqn: str, failure: Failure, stubs: frozenset[str]) -> Proving:
        """The part of `fqn`, which fails with `stubs` replaced, without which the failure goes away."""
        children = [child for child in self._inquiry.children(fqn) if child not in stubs]
        outcome = yield from self._without(fqn, children, stubs)
        if alike(outcome.failure, failure):
            return Finding(fqn, True, Proof(_kind(fqn), own_code_trial=True), failure)
        if not outcome.without_failure_at(failure.stage):
            found = yield from self._first_failing(children, failure)
            return found or self._whole_is_left(fqn, failure)
        guilty = yield from self.smallest_failing(fqn, children, failure, stubs)
        if len(guilty) == 1:
            return (yield from self._go_down(guilty[0], failure))
        found = yield from self._first_failing(guilty, failure)
        if found is None:
            self._inquiry.findings.notes.append(
                f"{fqn or 'The model'} fails only when these are together: {', '.join(guilty)}."
            )
        return found or Finding(fqn, False, Proof(_kind(fqn)), failure)

    def smallest_failing(
        self, fqn: str, children: list[str], failure: Failure, stubs: frozenset[str]
    ) -> Generator[NextTrial, Outcome, list[str]]:
        """A smallest set of children that must be left in for the failure to show; the others are replaced."""

        def still_fails(kept: list[str]) -> Generator[NextTrial, Outcome, bool]:
            replaced = [child for child in children if child not in kept]
            outcome = yield from self._without(fqn, replaced, stubs)
            return alike(outcome.failure, failure)

        return (yield from smallest_failing(children, still_fails))

    def _without(
        self, fqn: str, replaced: list[str], stubs: frozenset[str]
    ) -> Generator[NextTrial, Outcome, Outcome]:
        why = replacing(f"bisect {fqn or 'the model'}", replaced)
        return (yield from self._inquiry.ask(Trial(fqn, stubs | set(replaced)), why))

    def _go_down(self, child: str, failure: Failure) -> Proving:
        found = yield from self._first_failing([child], failure)
        return found or Finding(child, True, Proof(ProofKind.IN_PLACE), failure)

    def _first_failing(self, children: Iterable[str], failure: Failure) -> Proving:
        """Of the first child that fails alone, the part that is to blame."""
        for child in children:
            trial = self._inquiry.alone(child)
            outcome = yield from self._inquiry.ask(trial, f"does {child} fail alone?")
            if outcome.failure is not None and alike(outcome.failure, failure):
                return (yield from self.below(child, outcome.failure, trial.stubs))
        return None

    def _whole_is_left(self, fqn: str, failure: Failure) -> Finding | None:
        if fqn == "" and self._inquiry.findings.culprits:
            return None
        reason = "every child passes alone, but with all of them replaced it could not be exported for comparison"
        return Finding(fqn, True, Proof(_kind(fqn), reason=reason), failure)


def _kind(fqn: str) -> ProofKind:
    return ProofKind.ALONE if fqn else ProofKind.ROOT
