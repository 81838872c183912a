"""Writing values to places that a tensor names. Some of torch's translations compute something else."""

from __future__ import annotations

import torch
from torch import Tensor

from onnx_debug.session.fixes.operators.decomposition import Decomposition, example
from onnx_debug.session.fixes.operators.samples import normal, permutation, uniform, whole
from onnx_debug.torch_private.operators import aten


def scatter_reduce(
    x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Reduction into places, with the mean as a sum over a count and `include_self=False` by resetting what is hit.

    The translation in torch 2.13 takes no notice of either. Other calls are left alone. Rounding as
    in any sum.
    """
    if x.dim() == 0 or (include_self and reduce != "mean"):
        return NotImplemented
    src = src[tuple(slice(size) for size in index.shape)]
    count = torch.zeros_like(x).scatter_add(dim, index, torch.ones_like(src))
    if not include_self:
        x = torch.where(count > 0, neutral(reduce, x.dtype), x)
    if reduce != "mean":
        return torch.scatter_reduce(x, dim, index, src, reduce)
    count = count + 1 if include_self else count.clamp(min=1)
    total = x.scatter_add(dim, index, src)
    whole_numbers = None if x.is_floating_point() else "floor"
    return torch.div(total, count, rounding_mode=whole_numbers)


def neutral(reduce: str, dtype: torch.dtype) -> float:
    """The value that changes nothing in a reduction."""
    if reduce in ("sum", "mean"):
        return 0
    if reduce in ("prod", "multiply"):
        return 1
    if dtype.is_floating_point:
        return -torch.inf if reduce == "amax" else torch.inf
    return torch.iinfo(dtype).min if reduce == "amax" else torch.iinfo(dtype).max


def scatter_with_reduce(x: Tensor, dim: int, index: Tensor, src: Tensor, *, reduce: str) -> Tensor:
    """The old `scatter(reduce=...)` as `scatter_reduce`.

    Exact up to the order of additions.
    """
    src = src[tuple(slice(size) for size in index.shape)]
    return torch.scatter_reduce(x, dim, index, src, "sum" if reduce == "add" else "prod")


def scatter_value_with_reduce(
    x: Tensor, dim: int, index: Tensor, value: float, *, reduce: str
) -> Tensor:
    """The old `scatter(value, reduce=...)` as `scatter_reduce`.

    Exact up to the order of additions.
    """
    src = torch.full_like(index, value, dtype=x.dtype)
    return torch.scatter_reduce(x, dim, index, src, "sum" if reduce == "add" else "prod")


def index_reduce(
    x: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Reduction into whole slices, as a `scatter_reduce` with the index spread over the slice.

    Rounding as in any sum or product.
    """
    shape = [1] * x.dim()
    shape[dim] = -1
    spread = index.reshape(shape).expand(source.shape)
    done = scatter_reduce(x, dim, spread, source, reduce, include_self=include_self)
    if done is NotImplemented:
        return torch.scatter_reduce(x, dim, spread, source, reduce)
    return done


def put(x: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """Values written to places of the flattened tensor.

    Exact up to the order of additions. Where an index comes twice without `accumulate`, which value
    stays is open, as in torch.
    """
    flat, at, values = x.reshape(-1), index.reshape(-1), source.reshape(-1)
    at = torch.where(at < 0, at + torch.ones_like(flat, dtype=torch.int64).sum(), at)
    flat = flat.scatter_add(0, at, values) if accumulate else flat.scatter(0, at, values)
    return flat.reshape(x.shape)


def diagonal_scatter(
    x: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """A diagonal written by a mask.

    Exact.
    """
    matrix = x.movedim((dim1, dim2), (-2, -1))
    rows = torch.arange(matrix.shape[-2], device=x.device)[:, None]
    columns = torch.arange(matrix.shape[-1], device=x.device)
    along = rows + min(offset, 0)
    spread = src.index_select(-1, along.clamp(0, src.shape[-1] - 1).reshape(-1)).unsqueeze(-1)
    return torch.where(columns - rows == offset, spread, matrix).movedim((-2, -1), (dim1, dim2))


TARGET = normal((5, 3), (6, 4), (9, 2))
SOURCE = normal((7, 3), (11, 4), (8, 2))
INDEX = whole(0, 5, (7, 3), (11, 4), (8, 2))
SLICES = whole(0, 5, (7,), (11,), (8,))
ENTRIES = (
    Decomposition(
        (aten.scatter_reduce.two,),
        scatter_reduce,
        tuple(
            example(
                lambda x, index, src, reduce=reduce, include_self=include_self: x.scatter_reduce(
                    0, index, src, reduce=reduce, include_self=include_self
                ),
                TARGET,
                INDEX,
                SOURCE,
            )
            for reduce, include_self in (
                ("mean", True),
                ("mean", False),
                ("sum", False),
                ("prod", False),
                ("amax", False),
                ("amin", False),
            )
        ),
    ),
    Decomposition(
        (aten.scatter.reduce,),
        scatter_with_reduce,
        tuple(
            example(
                lambda x, index, src, reduce=reduce: x.scatter(0, index, src, reduce=reduce),
                TARGET,
                INDEX,
                SOURCE,
            )
            for reduce in ("add", "multiply")
        ),
    ),
    Decomposition(
        (aten.scatter.value_reduce,),
        scatter_value_with_reduce,
        (example(lambda x, index: x.scatter(0, index, 1.5, reduce="multiply"), TARGET, INDEX),),
    ),
    Decomposition(
        (aten.index_reduce.default,),
        index_reduce,
        tuple(
            example(
                lambda x, index, src, reduce=reduce, include_self=include_self: x.index_reduce(
                    0, index, src, reduce, include_self=include_self
                ),
                TARGET,
                SLICES,
                SOURCE,
            )
            for reduce in ("prod", "mean", "amax", "amin")
            for include_self in (True, False)
        ),
    ),
    Decomposition(
        (aten.put.default,),
        put,
        (
            example(
                lambda x, index, src: x.put(index, src),
                TARGET,
                permutation((4, 15), (5, 15), (3, 15)),
                normal((4,), (5,), (3,)),
            ),
            example(
                lambda x, index, src: x.put(index, src, accumulate=True),
                TARGET,
                whole(-6, 6, (4,), (15,), (3,)),
                normal((4,), (15,), (3,)),
            ),
        ),
    ),
    Decomposition(
        (aten.diagonal_scatter.default,),
        diagonal_scatter,
        (
            example(
                torch.diagonal_scatter,
                uniform(0, 1, (5, 5), (7, 7), (4, 4)),
                normal((5,), (7,), (4,)),
            ),
            example(
                lambda x, src: torch.diagonal_scatter(x, src, 1, 1, 2),
                normal((2, 4, 5), (3, 4, 5), (6, 4, 5)),
                normal((2, 4), (3, 4), (6, 4)),
            ),
        ),
        reaches=("prims::copy_to.default",),
    ),
)
