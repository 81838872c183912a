"""What stands in the way of an export, kind by kind, each with the changes that may help against it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from onnx_debug.data.culprit import Culprit
from onnx_debug.data.failure import Failure
from onnx_debug.data.stage import Stage
from onnx_debug.request.case import Case
from onnx_debug.session.fixes.change import Change
from onnx_debug.session.fixes.families import (
    borders,
    call,
    control_flow,
    inputs,
    model,
    noise,
    operators,
    precision,
    sparse,
)


@dataclass
class Blocker:
    """Culprits that one change may help.

    Attributes:
        fqns: the culprits.
        failure: of the first of them.
        changes: in the order in which they are tried.
        at: position of the one to try now; beyond the last, nothing is left.
    """

    fqns: set[str]
    failure: Failure
    changes: list[Change] = field(default_factory=list)
    at: int = 0

    @property
    def change(self) -> Change | None:
        """What to try now; None where nothing is left."""
        return self.changes[self.at] if self.at < len(self.changes) else None

    def is_named_by(self, failure: Failure | None) -> bool:
        """Whether a failure is this blocker's: it names one of the culprits, or their operator."""
        clue = failure.clues[0] if failure is not None and failure.clues else None
        if clue is None:
            return False
        return clue.fqn in self.fqns or bool(clue.op and clue.op == self.failure.op)


def blockers_of(
    case: Case,
    failure: Failure,
    culprits: tuple[Culprit, ...],
    draws: Sequence[noise.Draw] = (),
) -> list[Blocker]:
    """Culprits of one line, or of one operator, are one blocker; a failure without culprit is one too.

    Args:
        case: the export.
        failure: of the whole model.
        culprits: what blocks it.
        draws: the random tensors that the model draws.
    """
    found: dict[object, Blocker] = {}
    every_op = [op for culprit in culprits for op in _operators(culprit)]
    for culprit in culprits:
        by_op = operators.proposals(case, every_op if _operators(culprit) else ())
        own = [
            *control_flow.proposals(case, culprit),
            *by_op,
            *sparse.proposals(case, culprit),
            *precision.rewrites(case, culprit),
        ]
        key = tuple(own) or (culprit.failure.signature, culprit.source)
        blocker = found.setdefault(key, Blocker(set(), culprit.failure, own))
        blocker.fqns.add(culprit.fqn)
    blockers = list(found.values()) or [Blocker({""}, failure)]
    for blocker in blockers:
        blocker.changes += _general(case, blocker)
        blocker.changes += noise.proposals(case, blocker.failure, draws)
        blocker.changes.sort(key=lambda change: (not change.likely, change.cost))
    return blockers


def _general(case: Case, blocker: Blocker) -> Iterator[Change]:
    """What may help whatever the line or the operator is."""
    yield from call.proposals(case, blocker.failure)
    yield from model.proposals(case, blocker.failure)
    yield from inputs.proposals(case, blocker.failure)
    yield from precision.proposals(case, blocker.failure)
    yield from borders.proposals(case, blocker.failure, blocker.fqns)


def _operators(culprit: Culprit) -> Iterable[str]:
    """The operators that fail there."""
    found = [culprit.op, culprit.failure.op, *(clue.op for clue in culprit.failure.clues)]
    stages = (Stage.TRANSLATE, Stage.LOAD, Stage.RUN, Stage.COMPARE)
    return [op for op in found if op] if culprit.failure.stage in stages else []
