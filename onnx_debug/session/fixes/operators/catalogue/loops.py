"""A loop whose number of steps the graph decides: one ONNX Scan, where a Python loop would be unrolled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def scan(
    step: Callable[..., tuple[Tensor, ...]], carry: Sequence[Tensor], over: Sequence[Tensor]
) -> list[Tensor]:
    """Call `step(*carry, *slices)` for each slice along the first dimension of `over`.

    `step` returns the new carry and, after it, what is stacked. It must not use tensors from
    outside, and must not return one tensor twice.
    """
    # A carry must not share memory with anything else.
    start = [value.clone() for value in carry]
    return torch.ops.higher_order.scan(step, start, list(over), additional_inputs=())


def column(a: Tensor, k: Tensor) -> Tensor:
    """Column `k` of a matrix, where `k` is a tensor without dimensions."""
    return a.index_select(-1, k.reshape(1)).squeeze(-1)


def row(a: Tensor, k: Tensor) -> Tensor:
    """Row `k` of a matrix, where `k` is a tensor without dimensions."""
    return a.index_select(-2, k.reshape(1)).squeeze(-2)
