"""Eager outputs against ONNX Runtime's: count, shape, dtype, NaN and Inf pattern, then values.

One rule for every comparison of numbers: a value may differ by a share of the *size* of its output,
the largest finite magnitude there. Where an output holds parts of unlike size (boxes beside scores),
each row and each channel has a size of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from onnx_debug.data.comparison import Comparison
from onnx_debug.request.case import Case
from onnx_debug.torch_private.tensors import tree_leaves

# Share of the size by which a value may differ: what another order of operations may change in a
# deep model. In units of the last digit: some 800 in float32, 10 in float16, 6 in bfloat16.
_SHARES = {
    torch.float64: 1e-5,
    torch.float32: 1e-4,
    torch.float16: 1e-2,
    torch.bfloat16: 5e-2,
}
_LOW_PRECISION = {torch.float16, torch.bfloat16}
_ENOUGH = 64  # elements that a row or channel must have to have a size of its own
_PARTS = 1e-3  # a row or channel counts as no smaller than this share of the whole output
_FILL = 1e4  # masks are filled with numbers beyond this one; they are no measure of the others
_SIZE_OF_ZEROS = 1e-2  # an output that is zero everywhere has no size


@dataclass(frozen=True)
class Tolerance:
    """How far values may differ.

    Attributes:
        atol, rtol: the user's: a value may differ by `atol + rtol * |value|`; None: by the rule.
        precision: the coarsest type that the model computes in, where that is coarser than an
            output's own.
    """

    atol: float | None = None
    rtol: float | None = None
    precision: torch.dtype | None = None

    def share(self, dtype: torch.dtype) -> float:
        """Share of the size of an output of this type by which its values may differ; whole numbers may not."""
        own = _SHARES.get(dtype, 0.0)
        return own and max(own, _SHARES.get(self.precision or dtype, 0.0))

    def allowed(self, eager: torch.Tensor, dtype: torch.dtype, size: torch.Tensor) -> torch.Tensor:
        """By how much each value may differ."""
        share = self.share(dtype)
        if self.atol is None and self.rtol is None:
            return share * size
        return (share * size if self.atol is None else self.atol) + (
            share if self.rtol is None else self.rtol
        ) * eager.abs()


def tolerance_of(case: Case) -> Tolerance:
    """How far values may differ in this case: by the coarsest type of its weights and inputs, if no tolerances are given."""
    given = [
        *case.model.parameters(),
        *case.model.buffers(),
        *tree_leaves((case.args, case.kwargs)),
    ]
    types = {leaf.dtype for leaf in given if isinstance(leaf, torch.Tensor)} & {*_SHARES}
    coarsest = max(types, key=_SHARES.__getitem__, default=None)
    return Tolerance(case.atol, case.rtol, coarsest)


def compare_outputs(
    names: Sequence[str],
    expected: Sequence[torch.Tensor],
    got: Sequence[torch.Tensor],
    tolerance: Tolerance = Tolerance(),
) -> list[Comparison]:
    """One row for each output, as for the given inputs; a missing or surplus output is a row with a problem.

    Args:
        names: names of the ONNX outputs; a sequence has one for all its tensors.
        expected: the eager module's tensors, complex ones as pairs of reals.
        got: ONNX Runtime's tensors.
        tolerance: how far values may differ.
    """
    if len(expected) != len(got):
        problem = f"eager returns {len(expected)} tensors, ONNX {len(got)}"
        surplus = abs(len(expected) - len(got))
        return [Comparison(0, "outputs", problem, mismatched=surplus, total=len(expected))]
    if len(names) != len(got):
        names = [f"{', '.join(names)}[{position}]" for position in range(len(got))]
    return [
        _compare(name, eager.detach().cpu(), onnx.cpu(), tolerance)
        for name, eager, onnx in zip(names, expected, got, strict=True)
    ]


def agree(expected: torch.Tensor, got: torch.Tensor, tolerance: Tolerance) -> bool:
    """Whether two tensors of one shape hold the same values."""
    return not _compare("", expected.detach().cpu(), got.cpu(), tolerance).problem


def _compare(
    name: str, eager: torch.Tensor, onnx: torch.Tensor, tolerance: Tolerance
) -> Comparison:
    total, problem = eager.numel(), ""
    if eager.shape != onnx.shape:
        problem = f"shape {list(eager.shape)} in eager, {list(onnx.shape)} in ONNX"
    elif eager.dtype != onnx.dtype:
        problem = f"{_short(eager.dtype)} in eager, {_short(onnx.dtype)} in ONNX"
    if problem:
        return Comparison(0, name, problem, float("nan"), float("nan"), total, total)
    if torch.equal(eager, onnx):
        return Comparison(0, name, total=total)
    return _compare_values(name, eager, onnx, tolerance)


def _compare_values(
    name: str, eager: torch.Tensor, onnx: torch.Tensor, tolerance: Tolerance
) -> Comparison:
    wide_eager, wide_onnx = eager.to(torch.float64), onnx.to(torch.float64)
    both = wide_eager.isfinite() & wide_onnx.isfinite()
    unlike = ~both & ~((wide_eager == wide_onnx) | (wide_eager.isnan() & wide_onnx.isnan()))
    difference = torch.where(both, (wide_eager - wide_onnx).abs(), 0.0)
    size = _size(torch.where(wide_eager.isfinite(), wide_eager, 0.0).abs(), difference)
    allowed = tolerance.allowed(wide_eager, eager.dtype, size).nan_to_num(0.0, 0.0, 0.0)
    if eager.is_floating_point() or tolerance.atol is not None or tolerance.rtol is not None:
        beyond = difference > allowed
    else:
        beyond = eager != onnx  # large ones do not fit into float64
    ratio = difference / allowed.clamp_min(torch.finfo(torch.float64).tiny)
    at = _index_of_largest(unlike.to(torch.uint8) if unlike.any() else ratio)
    mismatched, here = int((unlike | beyond).sum()), float(size.expand_as(difference)[at])
    row = Comparison(
        0,
        name,
        max_abs_diff=float(difference.max()),
        max_rel_diff=float(difference[at]) / here,
        mismatched=mismatched,
        total=eager.numel(),
        where=at if mismatched else (),
        allowed=float(allowed.expand_as(difference)[at]) / here,
        size=here,
        eager=float(wide_eager[at]),
        onnx=float(wide_onnx[at]),
    )
    if eager.is_floating_point() and {eager.dtype, tolerance.precision} & _LOW_PRECISION:
        cosine, snr = _likeness(wide_eager[both], wide_onnx[both])
        row = replace(row, cosine=cosine, snr_db=snr)
    return replace(row, problem=_describe(row, int(unlike.sum())) if mismatched else "")


def _size(magnitude: torch.Tensor, difference: torch.Tensor) -> torch.Tensor:
    """How large each value's surroundings are: the smallest of its output, its row, its channel.

    Args:
        magnitude: of eager's values, zero where they are not finite.
        difference: to ONNX's; fill values are those that are repeated without any.
    """
    largest = magnitude.max()
    fill = (magnitude == largest) & (difference == 0)
    if largest >= _FILL and int(fill.sum()) > 1:
        others = torch.where(fill, 0.0, magnitude)
        magnitude = others if others.max() * 1e3 < largest and others.max() > 0 else magnitude
    whole = float(magnitude.max())
    if not whole:
        return torch.full_like(magnitude, _SIZE_OF_ZEROS)
    size = torch.full_like(magnitude, whole)
    for axis, length in enumerate(magnitude.shape):
        if length > 1 and magnitude.numel() // length >= _ENOUGH:
            others_axes = [other for other in range(magnitude.dim()) if other != axis]
            size = torch.minimum(size, magnitude.amax(others_axes, keepdim=True))
    return size.clamp_min(max(whole * _PARTS, torch.finfo(torch.float32).tiny))


def _likeness(eager: torch.Tensor, onnx: torch.Tensor) -> tuple[float | None, float | None]:
    """Cosine similarity, and the signal-to-noise ratio in decibels; None where one side is zero."""
    signal, noise = float(eager.square().sum()), float((eager - onnx).square().sum())
    norms = math.sqrt(signal) * float(onnx.norm())
    return (
        float(eager @ onnx) / norms if norms else None,
        10 * math.log10(signal / noise) if signal and noise else None,
    )


def _index_of_largest(values: torch.Tensor) -> tuple[int, ...]:
    return tuple(int(index) for index in torch.unravel_index(values.argmax(), values.shape))


def _describe(row: Comparison, unlike: int) -> str:
    place = f"at {list(row.where)}" if row.where else "in the one value"
    found = f"{place} ({row.eager:.6g} in eager, {row.onnx:.6g} in ONNX)"
    if unlike:
        return f"NaN or Inf in only one of the two {found}, {unlike} of {row.total} elements"
    difference = row.max_rel_diff * row.size
    return f"max difference {difference:.3g} {found}, {row.mismatched} of {row.total} elements"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
