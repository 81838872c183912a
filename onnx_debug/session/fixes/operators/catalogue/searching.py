"""Searching in sorted values, and selecting values by a mask."""

from __future__ import annotations

import torch
from torch import Tensor

from onnx_debug.session.fixes.operators.decomposition import Decomposition, example
from onnx_debug.session.fixes.operators.samples import ascending, masks, normal, whole
from onnx_debug.torch_private.operators import aten


def count_below(boundaries: Tensor, x: Tensor, *, right: bool, out_int32: bool) -> Tensor:
    """How many boundaries along the last dimension are below each value; not above it when `right`."""
    below = boundaries <= x.unsqueeze(-1) if right else boundaries < x.unsqueeze(-1)
    return below.to(torch.int64).sum(-1).to(torch.int32 if out_int32 else torch.int64)


def searchsorted(
    sorted_sequence: Tensor,
    x: Tensor,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Places in a sorted sequence, by counting what is smaller.

    Exact. Time and memory grow with values times boundaries.
    """
    if sorter is not None:
        sorted_sequence = sorted_sequence.gather(-1, sorter)
    if sorted_sequence.dim() > 1:
        sorted_sequence = sorted_sequence.unsqueeze(-2)
    return count_below(sorted_sequence, x, right=right or side == "right", out_int32=out_int32)


def bucketize(
    x: Tensor, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The bucket of each value, by counting the boundaries below it.

    Exact. Time and memory grow with values times boundaries.
    """
    return count_below(boundaries, x, right=right, out_int32=out_int32)


def isin(
    elements: Tensor, test_elements: Tensor, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Membership, by comparing each value with each.

    Exact. Time and memory grow with values times test values.
    """
    del assume_unique
    found = (elements.unsqueeze(-1) == test_elements.reshape(-1)).any(-1)
    return ~found if invert else found


def masked_select(x: Tensor, mask: Tensor) -> Tensor:
    """The values under a mask, by the positions where it is true.

    Exact. How many there are is known only when the model runs.
    """
    x, mask = torch.broadcast_tensors(x, mask)
    return x.reshape(-1)[mask.reshape(-1).nonzero().squeeze(-1)]


def nonzero_static(x: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """The first positions that are not zero, then the fill value.

    Exact.
    """
    found = x.nonzero()
    fill = torch.full((size, x.dim()), fill_value, dtype=torch.int64, device=x.device)
    steps = torch.arange(size, device=x.device)
    return torch.cat([found, fill])[steps]


SEQUENCES = ascending(whole(0, 8, (2, 9), (5, 7), (3, 12), dtype=torch.float32))
BOUNDARIES = ascending(whole(0, 8, (9,), (7,), (12,), dtype=torch.float32))
VALUES = whole(-1, 9, (2, 4), (5, 3), (3, 6), dtype=torch.float32)
ENTRIES = (
    Decomposition(
        (aten.searchsorted.Tensor,),
        searchsorted,
        (
            example(lambda s, x: torch.searchsorted(s, x, right=True), SEQUENCES, VALUES),
            example(lambda s, x: torch.searchsorted(s, x, out_int32=True), BOUNDARIES, VALUES),
        ),
    ),
    Decomposition(
        (aten.bucketize.Tensor,),
        bucketize,
        (
            example(torch.bucketize, VALUES, BOUNDARIES),
            example(lambda x, b: torch.bucketize(x, b, right=True), VALUES, BOUNDARIES),
        ),
    ),
    Decomposition(
        (aten.isin.Tensor_Tensor,),
        isin,
        (
            example(
                torch.isin, whole(0, 60, (20, 4), (31, 3), (7, 5)), whole(0, 60, (30,), (41,), (9,))
            ),
            example(
                lambda x, y: torch.isin(x, y, invert=True),
                whole(0, 9, (20,), (31,), (7,), dtype=torch.float32),
                whole(0, 9, (3,), (4,), (2,), dtype=torch.float32),
            ),
        ),
        reaches=("aten::searchsorted.Tensor",),
    ),
    Decomposition(
        (aten.masked_select.default,),
        masked_select,
        (
            example(
                torch.masked_select, normal((4, 6), (2, 9), (3, 5)), masks((4, 6), (2, 9), (3, 5))
            ),
            example(torch.masked_select, normal((4, 6), (2, 9), (3, 5)), masks((6,), (9,), (5,))),
        ),
    ),
    Decomposition(
        (aten.nonzero_static.default,),
        nonzero_static,
        (example(lambda x: torch.nonzero_static(x > 0.5, size=5), normal((3, 4), (4, 6), (2, 2))),),
    ),
)
