"""Sorting, order statistics and the most frequent value.

Positions are taken by `gather` with an index tensor: inside a decomposition `x[n // 2]` with a
dynamic `n` would be fixed to the example's size, without an error.
"""

from __future__ import annotations

import torch
from torch import Tensor

from onnx_debug.session.fixes.operators.decomposition import Decomposition, example
from onnx_debug.session.fixes.operators.samples import changed, normal, whole, with_nans
from onnx_debug.torch_private.operators import aten


def sort_stable(
    x: Tensor, *, stable: bool | None, dim: int = -1, descending: bool = False
) -> tuple[Tensor, Tensor]:
    """Sort by TopK, which is stable: of equal values, the one with the lower index comes first.

    Exact. One node more than an ordinary sort.
    """
    del stable
    values, order = torch.sort(x, dim=dim, descending=descending)
    return values, order


def argsort_stable(x: Tensor, *, stable: bool, dim: int = -1, descending: bool = False) -> Tensor:
    """Order by TopK, which is stable: of equal values, the one with the lower index comes first.

    Exact.
    """
    del stable
    return torch.sort(x, dim=dim, descending=descending)[1]


def kthvalue(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The k-th smallest value, by sorting all.

    Exact; of equal values torch may name another index.
    """
    if x.dim() == 0:
        return x.clone(), torch.zeros_like(x, dtype=torch.int64)
    values, order = torch.sort(x, dim=dim)
    values, order = values.narrow(dim, k - 1, 1), order.narrow(dim, k - 1, 1)
    return (values, order) if keepdim else (values.squeeze(dim), order.squeeze(dim))


def middle_of(x: Tensor, usable: Tensor, dim: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    """The lower of the middle ones among the usable values, which are sorted before all others."""
    high = torch.inf if x.is_floating_point() else torch.iinfo(x.dtype).max
    values, order = torch.sort(torch.where(usable, x, high), dim=dim)
    count = usable.to(torch.int64).sum(dim, keepdim=True)
    middle = ((count - 1) // 2).clamp(min=0)
    value, index = values.gather(dim, middle), order.gather(dim, middle)
    return (value, index) if keepdim else (value.squeeze(dim), index.squeeze(dim))


def median_dim(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The lower median along a dimension, by sorting all.

    Exact; NaN where there is any. Of equal values torch may name another index.
    """
    if x.dim() == 0:
        return x.clone(), torch.zeros_like(x, dtype=torch.int64)
    bad = x != x  # noqa: PLR0124 - NaN differs from itself
    value, index = middle_of(x, torch.ones_like(bad), dim, keepdim)
    if not x.is_floating_point():
        return value, index
    return torch.where(bad.any(dim, keepdim=keepdim), torch.nan, value), index


def median(x: Tensor) -> Tensor:
    """The lower median of all values, by sorting them.

    Exact; NaN where there is any.
    """
    return median_dim(x.reshape(-1), 0)[0]


def nanmedian_dim(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The lower median of what is not NaN along a dimension, by sorting all.

    Exact. Of equal values torch may name another index.
    """
    if not x.is_floating_point():
        return median_dim(x, dim, keepdim)
    good = x == x  # noqa: PLR0124 - NaN differs from itself
    value, index = middle_of(x, good, dim, keepdim)
    return torch.where(good.any(dim, keepdim=keepdim), value, torch.nan), index


def nanmedian(x: Tensor) -> Tensor:
    """The lower median of all values that are not NaN, by sorting them.

    Exact.
    """
    return nanmedian_dim(x.reshape(-1), 0)[0]


def mode(x: Tensor, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The most frequent value, by comparing each with each.

    Exact: the smallest of equally frequent values, at its last place. Memory grows with the square
    of the dimension's length.
    """
    if x.dim() == 0:
        return x.clone(), torch.zeros_like(x, dtype=torch.int64)
    along = x.movedim(dim, -1)
    count = (along.unsqueeze(-1) == along.unsqueeze(-2)).to(torch.int64).sum(-1)
    high = torch.inf if x.is_floating_point() else torch.iinfo(x.dtype).max
    frequent = count == count.amax(-1, keepdim=True)
    value = torch.where(frequent, along, high).amin(-1, keepdim=True)
    steps = torch.arange(along.shape[-1], device=x.device)
    index = torch.where(along == value, steps, -1).amax(-1, keepdim=True)
    value, index = value.movedim(-1, dim), index.movedim(-1, dim)
    return (value, index) if keepdim else (value.squeeze(dim), index.squeeze(dim))


def unique_consecutive(
    x: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Runs of equal values, kept where a value differs from the one before.

    Exact. Only without `dim`.
    """
    if dim is not None:
        return NotImplemented
    flat = x.reshape(-1)
    first = torch.cat([torch.ones_like(flat[:1], dtype=torch.bool), flat[1:] != flat[:-1]])
    at = first.nonzero().squeeze(-1)
    none = at.new_empty(0)
    inverse = (first.to(torch.int64).cumsum(0) - 1).reshape(x.shape) if return_inverse else none
    end = torch.ones_like(flat, dtype=torch.int64).sum().reshape(1)
    counts = torch.cat([at[1:], end]) - at if return_counts else none
    return flat[at], inverse, counts


ENTRIES = (
    Decomposition(
        (aten.sort.stable,),
        sort_stable,
        (
            example(
                lambda x: torch.sort(x, dim=1, stable=True),
                whole(0, 5, (2, 7, 3), (3, 20, 5), (4, 2, 6), dtype=torch.float32),
            ),
            example(
                lambda x: torch.sort(x, stable=True, descending=True),
                whole(0, 5, (2, 7), (3, 20), (4, 9)),
            ),
        ),
    ),
    Decomposition(
        (aten.argsort.stable,),
        argsort_stable,
        (
            example(
                lambda x: torch.argsort(x, dim=-1, stable=True),
                whole(0, 5, (2, 7), (3, 20), (4, 9)),
            ),
        ),
        reaches=("aten::sort.stable",),
    ),
    Decomposition(
        (aten.kthvalue.default,),
        kthvalue,
        (
            example(
                lambda x: torch.kthvalue(x, 2, dim=1), normal((2, 7, 3), (4, 12, 5), (3, 2, 9))
            ),
            example(
                lambda x: torch.kthvalue(x, 3, keepdim=True).values,
                whole(0, 5, (2, 7), (3, 20), (4, 9)),
            ),
        ),
    ),
    Decomposition(
        (aten.median.dim,),
        median_dim,
        (
            example(lambda x: torch.median(x, 1), normal((2, 7, 3), (4, 12, 5), (3, 2, 9))),
            example(
                lambda x: torch.median(x, 0, keepdim=True).values,
                with_nans(normal((5, 4), (6, 7), (9, 3))),
            ),
            example(lambda x: torch.median(x, -1).values, whole(0, 9, (2, 7), (3, 8), (4, 5))),
        ),
    ),
    Decomposition(
        (aten.median.default,),
        median,
        (example(torch.median, normal((2, 7), (4, 5), (3, 13))),),
    ),
    Decomposition(
        (aten.nanmedian.dim,),
        nanmedian_dim,
        (
            example(
                lambda x: torch.nanmedian(x, 1).values,
                with_nans(normal((2, 7, 3), (4, 12, 5), (3, 2, 9))),
            ),
        ),
    ),
    Decomposition(
        (aten.nanmedian.default,),
        nanmedian,
        (example(torch.nanmedian, with_nans(normal((2, 7), (4, 5), (3, 13)))),),
    ),
    Decomposition(
        (aten.mode.default,),
        mode,
        (
            example(torch.mode, whole(0, 5, (2, 9), (5, 14), (3, 4))),
            example(
                lambda x: torch.mode(x, 0, keepdim=True).values,
                whole(0, 4, (9, 3), (12, 4), (5, 2), dtype=torch.float32),
            ),
        ),
    ),
    Decomposition(
        (aten.unique_consecutive.default,),
        unique_consecutive,
        (
            example(
                torch.unique_consecutive,
                changed(whole(0, 3, (12,), (20,), (7,)), torch.Tensor.float),
            ),
            example(
                lambda x: torch.unique_consecutive(x, return_inverse=True, return_counts=True),
                whole(0, 2, (3, 8), (4, 5), (2, 11)),
            ),
        ),
        limits="The number of values is known only when the model runs.",
    ),
)
