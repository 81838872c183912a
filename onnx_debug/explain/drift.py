"""Whether wrong numbers are no more than rounding that grows: then every operator is right, and no module is to blame."""

from __future__ import annotations

import math
from collections.abc import Sequence

from onnx_debug.data.outcome import Clue, ClueKind, Comparison, NodeError, Outcome
from onnx_debug.eager.outputs import copied, eager_outputs
from onnx_debug.eager.packing import PackingError
from onnx_debug.eager.values import nudged_values
from onnx_debug.onnx_file import compare, runtime
from onnx_debug.request.case import Case

_SHARE = 0.5  # of the difference that a change in the last digit of the inputs must bring about
_IN_NODES = Clue(
    "",
    ClueKind.DRIFT,
    reason="every operator is right, but rounding differences grow from one to the next",
)
_IN_EAGER = Clue(
    "",
    ClueKind.DRIFT,
    reason="eager itself answers as differently when its inputs change in the last digit",
)


def seen_in_nodes(bad: Sequence[Comparison], nodes: Sequence[NodeError]) -> tuple[Clue, ...]:
    """The clue, where every wrong output was followed to its operators and none of them goes wrong by itself."""
    followed = {node.name for node in nodes if node.problem and not node.own_problem}
    return (_IN_NODES,) if all(row.output in followed and _is_of_values(row) for row in bad) else ()


def seen_in_eager(case: Case, index: int, outcome: Outcome) -> tuple[Clue, ...]:
    """The clue, where eager itself answers as differently when its inputs change in the last digit. Runs the model twice.

    Where an operator is known to go wrong by itself, that one is to blame, however shaky the model
    is.
    """
    if outcome.failure is not None and any(
        clue.kind is ClueKind.VALUE for clue in outcome.failure.clues
    ):
        return ()
    rows = [row for row in outcome.comparisons if row.input_index == index]
    try:
        answers = [
            eager_outputs(case, inputs)
            for inputs in (copied(case.inputs[index]), nudged_values(case.inputs[index]))
        ]
    except PackingError:
        return ()
    one, other = (runtime.flat_tensors(answer) if answer is not None else [] for answer in answers)
    nudged = compare.compare_outputs(
        [row.output for row in rows], one, other, compare.tolerance_of(case)
    )
    return (_IN_EAGER,) if by_rounding(rows, nudged) else ()


def by_rounding(rows: Sequence[Comparison], nudged: Sequence[Comparison]) -> bool:
    """Whether every wrong output is about as far off when nothing but the last digit of eager's inputs changes."""
    changed = {row.output: row.max_abs_diff for row in nudged}
    wrong = [row for row in rows if row.problem]
    return bool(wrong) and all(
        _is_of_values(row) and changed.get(row.output, 0.0) >= _SHARE * row.max_abs_diff
        for row in wrong
    )


def _is_of_values(row: Comparison) -> bool:
    return not math.isnan(row.max_abs_diff) and row.max_abs_diff > 0
