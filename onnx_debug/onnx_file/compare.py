"""Eager outputs against ONNX Runtime's: count, shape, dtype, NaN and Inf pattern, then values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from onnx_debug.data.outcome import Comparison

# (atol, rtol) by the coarser dtype of the two: what rounding in another order of operations may
# change.
_TOLERANCES = {
    torch.float64: (1e-6, 1e-5),
    torch.float32: (1e-3, 1e-3),
    torch.float16: (1e-2, 1e-2),
    torch.bfloat16: (5e-2, 5e-2),
}


def compare_outputs(
    names: Sequence[str],
    expected: Sequence[torch.Tensor],
    got: Sequence[torch.Tensor],
    *,
    atol: float | None = None,
    rtol: float | None = None,
) -> list[Comparison]:
    """One row for each output, as for the given inputs; a missing or surplus output is a row with a problem.

    Args:
        names: names of the ONNX outputs.
        expected: the eager module's tensors, complex ones as pairs of reals.
        got: ONNX Runtime's tensors.
        atol, rtol: tolerances; None: by dtype.
    """
    if len(expected) != len(got):
        problem = f"eager returns {len(expected)} tensors, ONNX {len(got)}"
        return [
            Comparison(
                0, "outputs", problem, mismatched=abs(len(expected) - len(got)), total=len(expected)
            )
        ]
    return [
        _compare(name, eager.detach().cpu(), onnx.cpu(), atol, rtol)
        for name, eager, onnx in zip(names, expected, got, strict=False)
    ]


def _compare(
    name: str, eager: torch.Tensor, onnx: torch.Tensor, atol: float | None, rtol: float | None
) -> Comparison:
    total = eager.numel()
    if eager.shape != onnx.shape:
        problem = f"shape {list(eager.shape)} in eager, {list(onnx.shape)} in ONNX"
        return Comparison(0, name, problem, float("nan"), float("nan"), total, total)
    if eager.dtype != onnx.dtype:
        problem = f"{_short(eager.dtype)} in eager, {_short(onnx.dtype)} in ONNX"
        return Comparison(0, name, problem, float("nan"), float("nan"), total, total)
    return _compare_values(name, eager, onnx, atol, rtol)


def _compare_values(
    name: str, eager: torch.Tensor, onnx: torch.Tensor, atol: float | None, rtol: float | None
) -> Comparison:
    total = eager.numel()
    if torch.equal(eager, onnx):
        return Comparison(0, name, total=total)
    default = _TOLERANCES.get(eager.dtype, (0.0, 0.0))
    wide_eager, wide_onnx = eager.to(torch.float64), onnx.to(torch.float64)
    difference, magnitude = (wide_eager - wide_onnx).abs(), wide_eager.abs()
    unlike = torch.zeros_like(difference, dtype=torch.bool)
    if not math.isfinite(difference.max()):
        finite = wide_eager.isfinite() & wide_onnx.isfinite()
        unlike = ~finite & ~((wide_eager == wide_onnx) | (wide_eager.isnan() & wide_onnx.isnan()))
        difference, magnitude = (
            torch.where(finite, difference, 0.0),
            torch.where(finite, magnitude, 0.0),
        )
    allowed = (default[0] if atol is None else atol) + (
        default[1] if rtol is None else rtol
    ) * magnitude
    whole = (
        not eager.is_floating_point() and atol is None and rtol is None
    )  # large ones do not fit into float64
    mismatched = int((unlike | ((eager != onnx) if whole else (difference > allowed))).sum())
    max_abs = float(difference.max())
    max_rel = float(torch.where(magnitude > 0, difference / magnitude.clamp_min(1e-300), 0.0).max())
    where = (
        _index_of_largest(unlike.to(torch.uint8) if unlike.any() else difference)
        if mismatched
        else ()
    )
    return Comparison(
        0,
        name,
        _describe(mismatched, int(unlike.sum()), max_abs, total, where),
        max_abs,
        max_rel,
        mismatched,
        total,
        where,
    )


def _index_of_largest(values: torch.Tensor) -> tuple[int, ...]:
    return tuple(int(index) for index in torch.unravel_index(values.argmax(), values.shape))


def _describe(
    mismatched: int, unlike: int, max_abs: float, total: int, where: tuple[int, ...]
) -> str:
    if not mismatched:
        return ""
    place = f" at {list(where)}" if where else ""
    if unlike:
        return f"NaN or Inf in only one of the two{place}, {unlike} of {total} elements"
    return f"max difference {max_abs:.3g}{place}, {mismatched} of {total} elements"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
