"""What the search asks and what it has found: plain data, and when two failures are one. No torch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from onnx_debug.data.culprit import Proof
from onnx_debug.data.failure import Clue, ClueKind, Failure
from onnx_debug.data.outcome import Outcome, Trial
from onnx_debug.data.stage import Stage


@dataclass(frozen=True)
class NextTrial:
    """A trial, and in plain words why it is asked."""

    trial: Trial
    why: str


@dataclass(frozen=True)
class Finding:
    """A module that is to blame: what the search knows of a culprit."""

    fqn: str
    own_code: bool
    proof: Proof
    failure: Failure
    call: int = 0
    clue: Clue | None = None


@dataclass
class Findings:
    """What the search found, also when it was stopped before its end.

    Attributes:
        whole: the outcome of the whole model.
        request_at_fault: with nothing asked of borders and versions, or with nothing unusual around
            the call, the model does not fail so: no module is to blame.
        sufficient: with all culprits replaced the rest passes every stage; None: not asked or
            undecidable.
    """

    whole: Outcome | None = None
    culprits: list[Finding] = field(default_factory=list)
    request_at_fault: bool = False
    sufficient: bool | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> frozenset[str]:
        """The culprits' paths."""
        return frozenset(finding.fqn for finding in self.culprits)

    def add(self, found: Finding) -> None:
        """Take a culprit up, once."""
        if found.fqn not in self.names:
            self.culprits.append(found)


def alike(one: Failure | None, other: Failure | None) -> bool:
    """Whether two failures have one cause, as far as their kind tells."""
    if one is None or other is None:
        return False
    if one.signature == other.signature:
        return True
    # A size that was fixed shows as a refusal to run in the model and as a wrong shape in the
    # module, or the other way round.
    late = {Stage.RUN, Stage.COMPARE}
    return {one.stage, other.stage} <= late and all(
        _first_kind(failure) is ClueKind.SPECIALIZATION for failure in (one, other)
    )


def needs_number_clues(trial: Trial, outcome: Outcome) -> bool:
    """Whether the whole model answers wrongly and its operators have not told yet where that begins."""
    failure = outcome.failure
    if failure is None or failure.stage is not Stage.COMPARE or trial.module or trial.stubs:
        return False
    return not any(clue.kind is ClueKind.DRIFT for clue in failure.clues)


def with_number_clues(outcome: Outcome, found: Sequence[Clue]) -> Outcome:
    """The outcome of a whole model that answers wrongly, with what a look at its numbers found: they name no module by themselves.

    Modules that draw random numbers come first, for then nothing else needs to be wrong; what
    tracing froze gets the constant it became.
    """
    assert outcome.failure is not None
    drifts = tuple(clue for clue in found if clue.kind is ClueKind.DRIFT)
    if drifts:
        return replace(outcome, failure=replace(outcome.failure, clues=drifts))
    ops = {hint.fqn: hint.op for hint in outcome.hints if hint.kind is ClueKind.RANDOM}
    random = [replace(clue, op=ops.get(clue.fqn)) for clue in found if clue.kind is ClueKind.RANDOM]
    values = [clue for clue in found if clue.kind is not ClueKind.RANDOM]
    baked = {clue.fqn: clue.reason for clue in values if clue.kind is ClueKind.BAKED}
    known = [
        replace(clue, kind=ClueKind.BAKED, reason=baked[clue.fqn])
        if clue.kind is ClueKind.TRACER_WARNING and clue.fqn in baked
        else clue
        for clue in outcome.failure.clues
    ]
    suspected = {clue.fqn for clue in values}
    harmless = [
        clue
        for clue in known
        if clue.kind is ClueKind.TRACER_WARNING and not _is_around(clue.fqn, suspected)
    ]  # tracers warn of much
    likely = [clue for clue in known if clue not in harmless]
    return replace(
        outcome, failure=replace(outcome.failure, clues=(*random, *likely, *values, *harmless))
    )


def _is_around(fqn: str, suspected: Collection[str]) -> bool:
    """Whether a module is suspected, or calls one that is: a frozen branch or loop leaves its children with the wrong calls."""
    return fqn in suspected or any(fqn and other.startswith(fqn + ".") for other in suspected)


def _first_kind(failure: Failure) -> ClueKind | None:
    return failure.clues[0].kind if failure.clues else None
