"""Inputs at the edge of what a model takes: fresh values seldom reach them, and translations are often wrong just there."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from onnx_debug.eager.packing import PackingError
from onnx_debug.eager.values import (
    FurtherInputs,
    is_mask,
    like,
    looks_like_positions,
    replace_tensors,
)
from onnx_debug.request.case import Case

Change = Callable[[torch.Tensor], torch.Tensor]


def edge_inputs(case: Case) -> list[FurtherInputs]:
    """The given inputs with their values replaced, one kind of edge at a time; only those that change anything."""
    found = []
    for name, change in _EDGES.items():
        changed = False

        def on_copy(tensor: torch.Tensor, change: Change = change) -> torch.Tensor:
            nonlocal changed
            if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_complex():
                return tensor
            plain = tensor.detach().cpu()
            made = change(plain) if plain.numel() else plain
            changed |= made is not plain and not torch.equal(made, plain)
            return like(tensor, made)

        try:
            inputs = replace_tensors((case.args, case.kwargs), on_copy)
        except PackingError:
            return []
        if changed:
            found.append(FurtherInputs(name, name, inputs))
    return found


def _numbers(change: Change) -> Change:
    """Change tensors of numbers with a fraction, not masks and evenly spaced positions."""

    def on_numbers(plain: torch.Tensor) -> torch.Tensor:
        if not plain.is_floating_point() or not plain.dim():
            return plain
        varied = bool((plain != plain.reshape(-1)[0]).any())
        kept = varied and (is_mask(plain) or looks_like_positions(plain))
        return plain if kept else change(plain)

    return on_numbers


def _whole_numbers(change: Change) -> Change:
    def on_whole_numbers(plain: torch.Tensor) -> torch.Tensor:
        kept = plain.is_floating_point() or plain.dtype is torch.bool or not plain.dim()
        return plain if kept else change(plain)

    return on_whole_numbers


def _masks(change: Change) -> Change:
    return lambda plain: change(plain) if is_mask(plain) and plain.dim() else plain


def _scattered(*values: float) -> Change:
    """One element of eight each of these values, in another pattern for each tensor size: a row without any should remain."""

    def scatter(plain: torch.Tensor) -> torch.Tensor:
        made = plain.clone().reshape(-1)
        generator = torch.Generator().manual_seed(made.numel())
        order = torch.randperm(made.numel(), generator=generator)
        for position, value in enumerate(values):
            made[order[position::8]] = value
        return made.reshape(plain.shape)

    return scatter


def _signs(plain: torch.Tensor) -> torch.Tensor:
    """Negative numbers, with zeros among them."""
    return _scattered(0.0)(-plain.abs())


def _first_of_row(plain: torch.Tensor) -> torch.Tensor:
    return plain[..., :1].expand_as(plain).clone()


# Large enough for exp and its kin to overflow, small enough for a linear layer not to.
_EDGES: dict[str, Change] = {
    "zeros": _numbers(torch.zeros_like),
    "negative values and zeros": _numbers(_signs),
    "rows of equal values": _numbers(_first_of_row),
    "very large values": _numbers(lambda plain: plain * 300),
    "very small values": _numbers(lambda plain: plain * 1e-7),
    "NaN here and there": _numbers(_scattered(math.nan)),
    "Inf here and there": _numbers(_scattered(math.inf, -math.inf)),
    "repeated whole numbers": _whole_numbers(lambda plain: plain.amin().expand_as(plain).clone()),
    "negative whole numbers": _whole_numbers(lambda plain: -plain.abs()),
    "masks all low": _masks(lambda plain: plain.amin().expand_as(plain).clone()),
    "masks all high": _masks(lambda plain: plain.amax().expand_as(plain).clone()),
}
