"""Whether rounding explains a difference: then every operator is right, and no module is to blame.

Eager is asked again with its inputs changed in their last digits. It may answer as differently as
ONNX does, or, where the model selects (top-k, NMS, a threshold), choose other rows or another order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from onnx_debug.data.comparison import Comparison, NodeError
from onnx_debug.data.failure import Clue, ClueKind
from onnx_debug.data.outcome import Outcome
from onnx_debug.eager.outputs import copied, eager_outputs
from onnx_debug.eager.packing import PackingError
from onnx_debug.eager.values import nudged_values
from onnx_debug.onnx_file import compare, runtime
from onnx_debug.onnx_file.compare import Tolerance
from onnx_debug.onnx_file.feeds import flat_tensors
from onnx_debug.request.case import Case, Inputs
from onnx_debug.torch_private.tensors import tree_leaves

Ask = Callable[[Inputs], list[torch.Tensor] | None]

_SHARE = 0.5  # of the difference that a change in the last digit of the inputs must bring about
# Rounding in a deep model adds up to that many units; of two that nearly tie, one sign or the other
# makes the second the first.
_DIGITS = (2.0, 16.0, -16.0, 128.0, -128.0)
# An output that is nothing but rounding: by how many units of the last digit of the largest input it
# differs at most, and the share of the difference that eager's own must be, which each run draws anew.
_NOISE, _SHARE_OF_NOISE = 32.0, 0.1
_MOST_ROWS = 4096
_IN_NODES = "every operator is right, but rounding differences grow from one to the next"
_IN_EAGER = "eager itself answers as differently when its inputs change in the last digit"
_IN_ROWS = (
    "which rows it selects, or their order, hangs on rounding: eager itself selects others when its"
    " inputs change in the last digits"
)


def seen_in_nodes(bad: Sequence[Comparison], nodes: Sequence[NodeError]) -> tuple[Clue, ...]:
    """The clue, where every wrong output was followed to its operators and none of them goes wrong by itself."""
    followed = {node.name for node in nodes if node.problem and not node.own_problem}
    all_followed = all(row.output in followed and _is_of_values(row) for row in bad)
    return (Clue("", ClueKind.DRIFT, reason=_IN_NODES),) if all_followed else ()


def seen_in_eager(case: Case, index: int, outcome: Outcome) -> tuple[Clue, ...]:
    """The clue, where eager itself answers as differently when its inputs change in the last digits. Runs the model up to six times.

    Where an operator is known to go wrong by itself, that one is to blame, however shaky the model
    is.
    """
    failure = outcome.failure
    if failure is not None and any(clue.kind is ClueKind.VALUE for clue in failure.clues):
        return ()
    rows = [row for row in outcome.comparisons if row.input_index == index]
    if not any(row.problem for row in rows) or outcome.onnx_path is None:
        return ()
    try:
        wanted = eager_outputs(case, copied(case.inputs[index]))
        got = runtime.OnnxModel(case, Path(outcome.onnx_path))(case.inputs[index])
    except Exception:  # noqa: BLE001 - what cannot be asked again is not explained
        return ()
    if wanted is None:
        return ()

    def ask(inputs: Inputs) -> list[torch.Tensor] | None:
        return eager_outputs(case, inputs)

    tolerance = compare.tolerance_of(case)
    reason = by_rounding(rows, case.inputs[index], wanted, got, ask, tolerance)
    return (Clue("", ClueKind.DRIFT, reason=reason),) if reason else ()


def by_rounding(
    rows: Sequence[Comparison],
    inputs: Inputs,
    wanted: Sequence[torch.Tensor],
    got: Sequence[torch.Tensor],
    ask: Ask,
    tolerance: Tolerance,
    floor: float = 0.0,
) -> str:
    """Why rounding alone explains every wrong row, in plain words; empty where it does not.

    Args:
        rows: eager against ONNX on these inputs.
        inputs: what both were given.
        wanted, got: their answers.
        ask: eager's answer to other inputs.
        tolerance: how far values may differ.
        floor: where the model selects, smaller inputs change as if they were this large: what ties
            exactly would tie for ever.
    """
    wanted = flat_tensors(wanted)
    wrong = [position for position, row in enumerate(rows) if row.problem]
    if len(wanted) != len(got) or len(rows) != len(got) or not wrong:
        return ""
    others = all(_other_rows(wanted[one], got[one], tolerance) for one in wrong)
    for digits in _DIGITS if others else _DIGITS[:1]:
        small = digits == _DIGITS[0]
        again = _nudged(inputs, digits, 0.0 if small else floor, ask)
        if len(again) != len(wanted):
            continue
        moved = compare.compare_outputs([row.output for row in rows], wanted, again, tolerance)
        if small and all(_moved_as_far(rows[one], moved[one]) for one in wrong):
            return _IN_EAGER
        if others and all(
            moved[one].problem and _other_rows(wanted[one], again[one], tolerance) for one in wrong
        ):
            return _IN_ROWS
    return ""


def without_noise(
    rows: Sequence[Comparison],
    wanted: Sequence[torch.Tensor],
    inputs: Inputs,
    ask: Ask,
    tolerance: Tolerance,
) -> list[Comparison]:
    """The rows, with no problem where an output is nothing but rounding: the mean of what was centred, for one.

    Its differences are tiny beside the inputs, and eager itself moves as far. Arguments as of
    `by_rounding`; the model runs once, and only where an output is so small.
    """
    given = [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, torch.Tensor)]
    largest = max((_largest(leaf) for leaf in given), default=0.0)
    flat = flat_tensors(wanted)
    if len(flat) != len(rows):
        return list(rows)
    tiny = [
        bool(row.problem)
        and _is_of_values(row)
        and leaf.is_floating_point()
        and row.max_abs_diff <= _NOISE * torch.finfo(leaf.dtype).eps * largest
        for row, leaf in zip(rows, flat, strict=True)
    ]
    again = _nudged(inputs, _NOISE, 0.0, ask) if any(tiny) else []
    if len(again) != len(rows):
        return list(rows)
    moved = compare.compare_outputs([row.output for row in rows], flat, again, tolerance)
    return [
        replace(row, problem="", mismatched=0, where=())
        if small and one.max_abs_diff >= _SHARE_OF_NOISE * row.max_abs_diff
        else row
        for row, one, small in zip(rows, moved, tiny, strict=True)
    ]


def _largest(leaf: torch.Tensor) -> float:
    if not leaf.is_floating_point() or not leaf.numel():
        return 0.0
    return float(leaf.detach().double().nan_to_num(0.0, 0.0, 0.0).abs().max())


def _nudged(inputs: Inputs, digits: float, floor: float, ask: Ask) -> list[torch.Tensor]:
    try:
        return flat_tensors(ask(nudged_values(inputs, digits, floor)) or ())
    except PackingError:
        return []


def _moved_as_far(row: Comparison, moved: Comparison) -> bool:
    return _is_of_values(row) and moved.max_abs_diff >= _SHARE * row.max_abs_diff


def _is_of_values(row: Comparison) -> bool:
    """Whether finite numbers differ: not shapes, nor NaN or Inf in only one of the two."""
    finite = all(math.isfinite(value or 0.0) for value in (row.eager, row.onnx))
    return finite and not math.isnan(row.max_abs_diff) and row.max_abs_diff > 0


def _other_rows(one: torch.Tensor, other: torch.Tensor, tolerance: Tolerance) -> bool:
    """Whether two tensors hold the same rows but for a few, in any order and number."""
    if one.dtype != other.dtype or one.dim() != other.dim() or not one.dim():
        return False
    if not bool(one.isfinite().all() and other.isfinite().all()):
        return False
    unequal = [axis for axis in range(one.dim()) if one.shape[axis] != other.shape[axis]]
    if len(unequal) > 1:
        return False
    axes = unequal or range(min(2, one.dim()))  # rows, or rows of each item of a batch
    return any(
        _share_rows(one.movedim(axis, 0), other.movedim(axis, 0), tolerance) for axis in axes
    )


def _share_rows(one: torch.Tensor, other: torch.Tensor, tolerance: Tolerance) -> bool:
    fewer, more = sorted((one, other), key=len)
    if len(more) > _MOST_ROWS:
        return False
    if not len(fewer):
        return len(more) <= 2
    few, many = (side.reshape(len(side), -1).double() for side in (fewer, more))
    size = float(one.double().abs().max())
    nearest = torch.cdist(few, many, p=float("inf")).amin(1)
    strangers = int((nearest > tolerance.share(one.dtype) * size).sum())
    return strangers <= max(2, len(few) // 10)
