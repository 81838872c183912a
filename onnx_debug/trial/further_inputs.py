"""An exported file that passes on the given inputs: other values, other sizes, and what was asked for beside what came out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import torch

from onnx_debug.data.comparison import Asked, Comparison, Edge, EdgeKind
from onnx_debug.data.failure import ClueKind, Failure, signature
from onnx_debug.data.outcome import Outcome
from onnx_debug.data.stage import Mode, Stage
from onnx_debug.eager.edges import edge_inputs
from onnx_debug.eager.further import further_inputs
from onnx_debug.eager.outputs import keeps_state
from onnx_debug.eager.values import FurtherInputs
from onnx_debug.explain import drift
from onnx_debug.explain.gradients import differing_module
from onnx_debug.onnx_file import compare, runtime
from onnx_debug.onnx_file.feeds import flat_tensors
from onnx_debug.request.case import Case, Inputs
from onnx_debug.trial.requested import SizeTried, with_sizes


class Eager(Protocol):
    """The model's own answer; None where it rejects the inputs."""

    def __call__(self, inputs: Inputs, *, gradients: bool) -> list[torch.Tensor] | None: ...  # noqa: D102


@dataclass(frozen=True)
class Beyond:
    """What was seen beyond the given inputs. Plain data that can go to another process.

    Attributes:
        comparisons: one row for each output of each further set of inputs that the eager module
            takes.
        asked: what was asked for, with the sizes that were tried.
        differs: position, for `adopted`, of the first set on which ONNX does not answer as eager
            does.
        notes: what could not be tried.
        edges: differences on inputs that few mean.
    """

    comparisons: tuple[Comparison, ...] = ()
    asked: tuple[Asked, ...] = ()
    differs: int | None = None
    notes: tuple[str, ...] = ()
    edges: tuple[Edge, ...] = ()

    @property
    def needs_gradients(self) -> bool:
        """Whether the file answers as eager does with gradients only."""
        return any(edge.kind is EdgeKind.GRADIENTS for edge in self.edges)


def wants_edges(case: Case, outcome: Outcome, found: Beyond) -> bool:
    """Whether edges are worth a look: they are to be reported, and nothing else differs."""
    return case.edges == "report" and outcome.failure is None and found.differs is None


def adopted(case: Case, outcome: Outcome, position: int) -> Case:
    """The case with one of the further inputs as an input to agree on, so that every later trial is judged on it too."""
    found = _waiting(case, outcome)[position]
    return case.with_check(found.inputs, found.description)


def _waiting(case: Case, outcome: Outcome) -> list[FurtherInputs]:
    frozen = any(hint.kind is ClueKind.TRACER_WARNING for hint in outcome.hints)
    edges = edge_inputs(case) if case.edges == "strict" else []
    return further_inputs(case, branches=frozen) + edges


def look_beyond(
    case: Case,
    outcome: Outcome,
    eager: Eager,
    stage: Callable[[Stage], None],
    seconds: float,
    set_for_good: Sequence[str] = (),
) -> Beyond:
    """Compare on further inputs and look at what was asked for.

    Args:
        case: the case, whose whole model passed.
        outcome: that trial's.
        eager: answers for the model, whose state it leaves alone.
        stage: told what is being done.
        seconds: no new inputs are tried after that time.
        set_for_good: attributes that a first call sets; `eager` answers from the state after it.
    """
    look = _Look(case, outcome, eager, stage, time.monotonic() + seconds)
    look.go_through(_waiting(case, outcome))
    return look.result(set_for_good)


def joined(outcome: Outcome, found: Beyond) -> Outcome:
    """The outcome of the whole model with what was seen beyond it."""
    first = 1 + max((row.input_index for row in outcome.comparisons), default=0)
    agreed = [row for row in found.comparisons if not row.problem]
    index = {
        label: first + position
        for position, label in enumerate(dict.fromkeys(row.inputs for row in agreed))
    }
    rows = outcome.comparisons + tuple(
        replace(row, input_index=index[row.inputs]) for row in agreed
    )
    note = " ".join(
        (
            *([outcome.note] if outcome.note else []),
            *found.notes,
            *([] if outcome.failure else _frozen(outcome)),
        )
    )
    whole = replace(outcome, comparisons=rows, asked=found.asked, edges=found.edges, note=note)
    wrong = [row for row in found.asked if row.problem]
    if outcome.failure is not None or not wrong:
        return whole
    message = "; ".join(
        f"{row.subject}: {row.asked} was asked for, but {row.problem}" for row in wrong
    )
    clues = tuple(row.clue for row in wrong if row.clue is not None)
    return replace(
        whole,
        failure=Failure(
            Stage.OPTIONS,
            Mode.ERROR,
            signature(Stage.OPTIONS, Mode.ERROR),
            "",
            message,
            clues=clues,
        ),
    )


def _frozen(outcome: Outcome) -> list[str]:
    """What tracing froze, though no input that was tried goes the other way."""
    found = [
        hint
        for hint in outcome.hints
        if hint.kind is ClueKind.TRACER_WARNING and hint.source is not None
    ]
    lines = list(
        dict.fromkeys(
            f"{hint.fqn or 'the model'}: {hint.source.text}"
            for hint in found
            if hint.source is not None
        )
    )
    more = f" (and {len(lines) - 2} more lines)" if len(lines) > 2 else ""
    said = f"Tracing froze {'; '.join(lines[:2])}{more}, with no difference on the inputs that were tried."
    return [said] if lines else []


class _Look:
    def __init__(
        self,
        case: Case,
        outcome: Outcome,
        eager: Eager,
        stage: Callable[[Stage], None],
        deadline: float,
    ) -> None:
        assert outcome.onnx_path is not None
        self._case, self._outcome, self._stage, self._deadline = case, outcome, stage, deadline
        self._onnx = runtime.OnnxModel(case, Path(outcome.onnx_path))
        self._tolerance = compare.tolerance_of(case)
        self._accepted: set[str] = set()
        self._tried: list[SizeTried] = []
        self._rows: list[Comparison] = []
        self._notes: list[str] = []
        self._edges: list[Edge] = []
        self._differs: int | None = None
        self._eager = partial(eager, gradients=self._only_with_gradients(eager))
        self._answers_alike = True

    def _only_with_gradients(self, eager: Eager) -> bool:
        """Whether the file answers as eager does with gradients, as in a capture, and not without, as models are used."""
        given = self._case.inputs[0]
        self._given = eager(given, gradients=False)
        if self._given is None:
            return False
        rows = self._compare(given, self._given)
        wrong = next((row for row in rows if row.problem), None)
        wanted = eager(given, gradients=True) if wrong is not None else None
        if wrong is None or wanted is None:
            return False
        if any(row.problem for row in self._compare(given, wanted)):
            return False  # random, or shaky: no question of gradients
        inputs = "the given inputs, under torch.no_grad()"
        problem = f"eager itself answers otherwise than with gradients; ONNX answers as with them: output {wrong.output}, {wrong.problem}"
        self._edges.append(Edge(EdgeKind.GRADIENTS, inputs, problem))
        return True

    def go_through(self, waiting: Sequence[FurtherInputs]) -> None:
        """Try one set of inputs after the other."""
        for position, further in enumerate(waiting):
            if time.monotonic() > self._deadline:
                self._notes.append(
                    f"Only {position} of {len(waiting)} further inputs were tried: the model takes long."
                )
                break
            if further.goal not in self._accepted:  # of several with one goal one is enough
                self._try(position, further)

    def result(self, set_for_good: Sequence[str]) -> Beyond:
        """What was seen."""
        self._edges = [self._located(edge) for edge in self._edges]
        if set_for_good:
            names = ", ".join(set_for_good[:3]) + (" …" if len(set_for_good) > 3 else "")
            self._notes.append(
                f"The first call sets {names} for good: the file holds what the given inputs set."
            )
        rows = (*self._outcome.comparisons, *self._rows)
        if rows and all(row.total == 0 for row in rows):
            self._notes.append("There was nothing to compare: every output is empty.")
        elif self._answers_alike and any(row.total for row in self._rows):
            self._notes.append(
                "There was little to compare: eager returns the same on all inputs that were tried."
            )
        if keeps_state(self._case):
            self._notes.append(
                "The model keeps state: called again with equal inputs, it answers otherwise; ONNX answers as the first time."
            )
        return Beyond(
            tuple(self._rows),
            tuple(with_sizes(self._outcome.asked, self._tried)),
            self._differs,
            tuple(self._notes),
            tuple(self._edges),
        )

    def _located(self, edge: Edge) -> Edge:
        """An edge that is a question of gradients, with its module; this runs the model here, so it comes last."""
        if edge.kind is not EdgeKind.GRADIENTS:
            return edge
        fqn, source = differing_module(self._case, self._tolerance) or (None, None)
        return replace(edge, fqn=fqn, source=source)

    def _try(self, position: int, further: FurtherInputs) -> None:
        self._stage(Stage.EAGER)
        wanted = self._eager(further.inputs)
        if wanted is None:
            self._tried.append(SizeTried(further.sizes, accepted=False))
            return
        self._accepted.add(further.goal)
        if not further.sizes:
            self._answers_alike &= self._given is not None and _equal(wanted, self._given)
        rows = self._compare(further.inputs, wanted)
        rows = drift.without_noise(rows, wanted, further.inputs, self._eager, self._tolerance)
        rows = [replace(row, inputs=further.description) for row in rows]
        wrong = next((row for row in rows if row.problem), None)
        reason = self._rounding(further.inputs, wanted, rows) if wrong is not None else ""
        if reason:
            self._notes.append(f"With {further.description}, {reason}.")
            return
        self._tried.append(SizeTried(further.sizes, accepted=True, agreed=wrong is None))
        if wrong is not None and further.unusual and self._other_sizes_agree(further.sizes):
            problem = f"output {wrong.output}: {wrong.problem}"
            self._edges.append(Edge(EdgeKind.SIZE, further.description, problem))
            return
        self._rows += rows
        if wrong is not None and self._differs is None:
            self._differs = position

    def _other_sizes_agree(self, sizes: Mapping[str, int]) -> bool:
        """Whether only this size differs, of several that were tried; not so where edges are strict."""
        others = [one for one in self._tried if one.accepted and set(one.sizes) == set(sizes)][:-1]
        return bool(others) and all(one.agreed for one in others) and self._case.edges != "strict"

    def _compare(self, inputs: Inputs, wanted: list[torch.Tensor]) -> list[Comparison]:
        self._stage(Stage.RUN)
        try:
            got = self._onnx(inputs)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's exception types have no common base
            return [Comparison(0, "outputs", f"ONNX Runtime refuses it: {error}")]
        self._stage(Stage.COMPARE)
        return compare.compare_outputs(
            self._onnx.outputs, flat_tensors(wanted), got, self._tolerance
        )

    def _rounding(
        self, inputs: Inputs, wanted: list[torch.Tensor], rows: Sequence[Comparison]
    ) -> str:
        """Why rounding alone explains the difference, as where two scores tie and the larger is taken."""
        try:
            got = self._onnx(inputs)
        except Exception:  # noqa: BLE001 - a refusal is no rounding
            return ""
        return drift.by_rounding(rows, inputs, wanted, got, self._eager, self._tolerance)


def _equal(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))
