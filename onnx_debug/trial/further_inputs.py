"""An exported file that passes on the given inputs: other values, other sizes, and what was asked for beside what came out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from onnx_debug.data.outcome import (
    Asked,
    ClueKind,
    Comparison,
    Failure,
    Mode,
    Outcome,
    Stage,
    signature,
)
from onnx_debug.eager.further import further_inputs
from onnx_debug.eager.outputs import keeps_state
from onnx_debug.eager.values import FurtherInputs, nudged_values
from onnx_debug.explain import drift
from onnx_debug.onnx_file import compare, runtime
from onnx_debug.request.case import Case, Inputs
from onnx_debug.trial.requested import SizeTried, with_sizes

Eager = Callable[[Inputs], list[torch.Tensor] | None]


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
    """

    comparisons: tuple[Comparison, ...] = ()
    asked: tuple[Asked, ...] = ()
    differs: int | None = None
    notes: tuple[str, ...] = ()


def adopted(case: Case, outcome: Outcome, position: int) -> Case:
    """The case with one of the further inputs as an input to agree on, so that every later trial is judged on it too."""
    found = _waiting(case, outcome)[position]
    return case.with_check(found.inputs, found.description)


def _waiting(case: Case, outcome: Outcome) -> list[FurtherInputs]:
    return further_inputs(
        case, branches=any(hint.kind is ClueKind.TRACER_WARNING for hint in outcome.hints)
    )


def look_beyond(
    case: Case, outcome: Outcome, eager: Eager, stage: Callable[[Stage], None], seconds: float
) -> Beyond:
    """Compare on further inputs and look at what was asked for.

    Args:
        case: the case, whose whole model passed.
        outcome: that trial's.
        eager: answers for the model, whose state it leaves alone.
        stage: told what is being done.
        seconds: no new inputs are tried after that time.
    """
    return _Look(case, outcome, eager, stage, time.monotonic() + seconds).result()


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
    whole = replace(outcome, comparisons=rows, asked=found.asked, note=note)
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
        self._case, self._outcome, self._eager, self._stage, self._deadline = (
            case,
            outcome,
            eager,
            stage,
            deadline,
        )
        self._tolerance = compare.tolerance_of(case)
        self._accepted: set[str] = set()
        self._tried: list[SizeTried] = []
        self._rows: list[Comparison] = []
        self._notes: list[str] = []
        self._differs: int | None = None

    def result(self) -> Beyond:
        assert self._outcome.onnx_path is not None
        self._runnable = runtime.make_runnable(Path(self._outcome.onnx_path))
        self._session = runtime.open_session(self._runnable.path)
        waiting = _waiting(self._case, self._outcome)
        for position, further in enumerate(waiting):
            if time.monotonic() > self._deadline:
                self._notes.append(
                    f"Only {position} of {len(waiting)} further inputs were tried: the model takes long."
                )
                break
            if further.goal not in self._accepted:  # of several with one goal one is enough
                self._try(position, further)
        if keeps_state(self._case):
            self._notes.append(
                "The model keeps state: called again with equal inputs, it answers otherwise; ONNX answers as the first time."
            )
        return Beyond(
            tuple(self._rows),
            tuple(with_sizes(self._outcome.asked, self._tried)),
            self._differs,
            tuple(self._notes),
        )

    def _try(self, position: int, further: FurtherInputs) -> None:
        self._stage(Stage.EAGER)
        wanted = self._eager(further.inputs)
        if wanted is None:
            self._tried.append(SizeTried(further.sizes, accepted=False))
            return
        self._accepted.add(further.goal)
        rows = [
            replace(row, inputs=further.description)
            for row in self._compare(further.inputs, wanted)
        ]
        wrong = any(row.problem for row in rows)
        if wrong and self._is_unstable(further.inputs, wanted, rows):
            self._notes.append(
                f"With {further.description}, eager itself answers otherwise when its inputs change in the last digit."
            )
            return
        self._tried.append(SizeTried(further.sizes, accepted=True, agreed=not wrong))
        self._rows += rows
        if wrong and self._differs is None:
            self._differs = position

    def _compare(self, inputs: Inputs, wanted: list[torch.Tensor]) -> list[Comparison]:
        self._stage(Stage.RUN)
        names = self._case.options.get("input_names") or ()
        try:
            feeds = runtime.feeds_for(
                self._runnable, runtime.graph_leaves(self._case, inputs), names
            )
            got = runtime.run_session(self._session, self._runnable.outputs, feeds)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's exception types have no common base
            return [Comparison(0, "outputs", f"ONNX Runtime refuses it: {error}")]
        return self._rows_of(wanted, got)

    def _rows_of(self, wanted: list[torch.Tensor], got: list[torch.Tensor]) -> list[Comparison]:
        return compare.compare_outputs(
            self._runnable.outputs, runtime.flat_tensors(wanted), got, self._tolerance
        )

    def _is_unstable(
        self, inputs: Inputs, wanted: list[torch.Tensor], rows: list[Comparison]
    ) -> bool:
        """Whether rounding alone changes the answer as much, as where two scores tie and the larger is taken."""
        again = self._eager(nudged_values(inputs))
        return again is not None and drift.by_rounding(
            rows, self._rows_of(wanted, runtime.flat_tensors(again))
        )
