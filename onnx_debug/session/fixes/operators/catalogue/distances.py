"""Distances between rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from onnx_debug.session.fixes.operators.decomposition import Decomposition, example
from onnx_debug.session.fixes.operators.samples import normal
from onnx_debug.torch_private.operators import aten


def norm_of(difference: Tensor, p: float) -> Tensor:
    """The p-norm along the last dimension."""
    size = difference.abs()
    if p == 0:
        return (size != 0).to(difference.dtype).sum(-1)
    if p == 1:
        return size.sum(-1)
    if p == 2:
        return (size * size).sum(-1).sqrt()
    if math.isinf(p):
        return size.amax(-1)
    return (size**p).sum(-1) ** (1 / p)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: int | None = None) -> Tensor:
    """Distances between all rows of two matrices, from their differences.

    As accurate as torch's way without matrix products, and more accurate than the other. Memory
    grows with rows times rows times columns.
    """
    del compute_mode
    return norm_of(x1.unsqueeze(-2) - x2.unsqueeze(-3), p)


def pdist(x: Tensor, p: float = 2.0) -> Tensor:
    """Distances between all pairs of rows of one matrix, from their differences.

    Rounding as in torch. Pair k is found by solving for the row in which it stands.
    """
    n = x.shape[0]
    pair = torch.arange(n * (n - 1) // 2, device=x.device)
    # Before row i stand i * (2n - 1 - i) / 2 pairs: exact in double, as the root is of a square there.
    first = (
        ((2 * n - 1 - ((2 * n - 1) ** 2 - 8.0 * pair.double()).sqrt()) / 2).floor().to(torch.int64)
    )
    second = pair - first * (2 * n - 1 - first) // 2 + first + 1
    return norm_of(x[first] - x[second], p)


LEFT, RIGHT = normal((2, 5, 4), (3, 9, 4), (4, 30, 4)), normal((2, 6, 4), (3, 2, 4), (4, 40, 4))
ENTRIES = (
    Decomposition(
        (aten.cdist.default, aten._cdist_forward.default),
        cdist,
        (
            example(torch.cdist, LEFT, RIGHT, tolerance=1e-4),
            *(
                example(lambda x, y, p=p: torch.cdist(x, y, p=p), LEFT, RIGHT)
                for p in (0.0, 1.0, 3.0, math.inf)
            ),
        ),
    ),
    Decomposition(
        (aten.pdist.default, aten._pdist_forward.default),
        pdist,
        (
            example(torch.nn.functional.pdist, normal((5, 4), (7, 3), (12, 2))),
            example(lambda x: torch.nn.functional.pdist(x, 1.0), normal((5, 4), (7, 3), (12, 2))),
        ),
    ),
)
