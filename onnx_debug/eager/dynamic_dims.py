"""The dimensions that a request asks to be dynamic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from onnx_debug.request.case import Case
from onnx_debug.request.dims import bounds, dim_name, is_derived, is_hint, is_named, is_static
from onnx_debug.request.entries import Entry, entries_of
from onnx_debug.request.inputs import read_inputs


@dataclass(frozen=True, eq=False)
class AskedDim:
    """One dimension of one input tensor that was asked to be dynamic.

    Attributes:
        entry: how the user wrote it: `dynamic_shapes['x'][0]`.
        name: the name given to it; empty when it has none. A derived Dim (`2 * n`) has that of its
            root.
        low, high: the smallest and the largest size that the request allows for the named size;
            None: no bound.
        size_of: from the named size to the size of this dimension.
        required: False for `Dim.AUTO`, which leaves the decision to torch.
    """

    entry: str
    tensor: torch.Tensor
    axis: int
    name: str = ""
    low: int | None = None
    high: int | None = None
    size_of: Callable[[int], int] = int
    required: bool = True

    @property
    def size(self) -> int:
        """The size in the given input."""
        return int(self.tensor.shape[self.axis])

    @property
    def root_size(self) -> int:
        """The named size in the given input: `n` where this dimension is `2 * n + 1`."""
        offset = self.size_of(0)
        return (self.size - offset) // (self.size_of(1) - offset)


def asked_dims(case: Case) -> list[AskedDim]:
    """Every dimension of the given inputs that the request asks to be dynamic; what cannot be read is left out."""
    inputs = read_inputs(case.model, case.args, case.kwargs)
    if inputs is None:
        return []
    found = entries_of(inputs, case.model, case.options, dynamo=case.dynamo)
    return [
        _asked(entry, entry.axis)
        for entry in found
        if entry.axis is not None and not is_static(entry.dim)
    ]


def _asked(entry: Entry, axis: int) -> AskedDim:
    dim = entry.dim
    if is_derived(dim):
        root, size_of = dim.root, dim.fn
        return AskedDim(
            entry.spelling, entry.leaf, axis, root.__name__, *bounds(root), size_of=size_of
        )
    low, high = bounds(dim) if is_named(dim) or is_hint(dim) else (None, None)
    required = not (is_hint(dim) and dim.type.name == "AUTO")
    name = dim_name(dim) or ""
    return AskedDim(entry.spelling, entry.leaf, axis, name, low, high, required=required)
