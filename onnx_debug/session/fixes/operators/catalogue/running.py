"""Running extrema and products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from onnx_debug.session.fixes.operators.catalogue.loops import scan
from onnx_debug.session.fixes.operators.decomposition import Decomposition, example
from onnx_debug.session.fixes.operators.samples import normal, whole, with_nans
from onnx_debug.torch_private.operators import aten


def running(
    x: Tensor, dim: int, beats: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """The best value so far and where it is; the last of equal ones; NaN stays."""
    if x.dim() == 0:
        return x.clone(), torch.zeros_like(x, dtype=torch.int64)
    values = x.movedim(dim, 0)
    steps = torch.arange(values.shape[0], device=x.device)

    def step(best: Tensor, at: Tensor, value: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        better = beats(value, best) | (value != value)  # noqa: PLR0124 - NaN differs from itself
        best, at = torch.where(better, value, best), torch.where(better, k, at)
        return best, at, best.clone(), at.clone()

    start = [values[0], torch.zeros_like(values[0], dtype=torch.int64)]
    _, _, best, at = scan(step, start, [values, steps])
    return best.movedim(0, dim), at.movedim(0, dim)


def cummax(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Running maximum, one step after the other.

    Exact, with indices and NaN as torch has them. A Scan: as many steps as `dim` is long, each over
    all other dimensions at once; no memory beyond the result.
    """
    return running(x, dim, torch.ge)


def cummin(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Running minimum, one step after the other.

    Exact, with indices and NaN as torch has them. A Scan: as many steps as `dim` is long, each over
    all other dimensions at once; no memory beyond the result.
    """
    return running(x, dim, torch.le)


def cumprod(x: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Tensor:
    """Running product, one step after the other.

    The same multiplications in the same order as in torch. A Scan, as for `cummax`.
    """
    if dtype is None:
        dtype = x.dtype if x.is_floating_point() or x.is_complex() else torch.int64
    x = x.to(dtype)
    if x.dim() == 0:
        return x.clone()

    def step(product: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        product = product * value
        return product, product.clone()

    values = x.movedim(dim, 0)
    return scan(step, [torch.ones_like(values[0])], [values])[1].movedim(0, dim)


ENTRIES = (
    Decomposition(
        (aten.cummax.default,),
        cummax,
        (
            example(lambda x: torch.cummax(x, 1), normal((2, 7, 3), (4, 12, 5), (3, 2, 9))),
            example(lambda x: x.cummax(-1), with_nans(normal((4, 6), (2, 9), (3, 5)))),
            example(lambda x: torch.cummax(x, 0), whole(-4, 5, (7, 3), (9, 2), (12, 4))),
        ),
    ),
    Decomposition(
        (aten.cummin.default,),
        cummin,
        (
            example(lambda x: torch.cummin(x, 1), normal((2, 7, 3), (4, 12, 5), (3, 2, 9))),
            example(lambda x: torch.cummin(x, 0), whole(-4, 5, (7, 3), (9, 2), (12, 4))),
        ),
    ),
    Decomposition(
        (aten.cumprod.default,),
        cumprod,
        (
            example(lambda x: torch.cumprod(x, 1), normal((2, 7, 3), (4, 12, 5), (3, 2, 9))),
            example(lambda x: torch.cumprod(x, -1), whole(-3, 4, (2, 7), (3, 5), (4, 9))),
        ),
        reaches=("prims::prod.default",),
    ),
)
