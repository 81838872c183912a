"""Cholesky, LU and QR factorizations, as one Scan over the columns.

The graph has the same few nodes for every size of matrix, and the size may be dynamic. Time in ONNX
Runtime grows with the cube of the size, at the speed of general operators, not of LAPACK.
"""

from __future__ import annotations

import torch
from torch import Tensor

from onnx_debug.session.fixes.operators.catalogue.loops import column, row, scan
from onnx_debug.session.fixes.operators.decomposition import Decomposition, example
from onnx_debug.session.fixes.operators.samples import (
    factored,
    invertible,
    normal,
    positive_definite,
)
from onnx_debug.torch_private.operators import aten


def linalg_cholesky(a: Tensor, *, upper: bool = False) -> Tensor:
    """Cholesky factor, column by column.

    Rounding as in torch. A matrix that is not positive definite gives NaN, where torch raises.
    """
    steps = torch.arange(a.shape[-1], device=a.device)

    def step(rest: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        rows = torch.arange(rest.shape[-1], device=rest.device)
        found = column(rest, k)
        pivot = found.index_select(-1, k.reshape(1))
        found = torch.where(rows >= k, found / pivot.sqrt(), 0)
        return rest - found.unsqueeze(-1) * found.unsqueeze(-2), found

    # Only the lower triangle counts, as in LAPACK.
    whole = a.tril() + a.tril(-1).mT
    factor = scan(step, [whole], [steps])[1].movedim(0, -1)
    return factor.mT if upper else factor


def linalg_cholesky_ex(
    a: Tensor, *, upper: bool = False, check_errors: bool = False
) -> tuple[Tensor, Tensor]:
    """Cholesky factor, column by column, with an error code that is always 0.

    Rounding as in torch. A matrix that is not positive definite gives NaN.
    """
    del check_errors
    info = torch.zeros(a.shape[:-2], dtype=torch.int32, device=a.device)
    return linalg_cholesky(a, upper=upper), info


def cholesky(a: Tensor, upper: bool = False) -> Tensor:
    """Cholesky factor, column by column, of the triangle that `upper` names.

    Rounding as in torch. A matrix that is not positive definite gives NaN, where torch raises.
    """
    return linalg_cholesky(a.mT if upper else a, upper=upper)


def packed_lu(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """L below the diagonal and U above it; the order of rows; the pivots of LAPACK, counted from 1."""
    rows = torch.arange(a.shape[-2], device=a.device)

    def step(lu: Tensor, order: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        rows = torch.arange(lu.shape[-2], device=lu.device)
        columns = torch.arange(lu.shape[-1], device=lu.device)
        size = torch.where(rows >= k, column(lu, k).abs(), -1)
        pivot = size.argmax(-1, keepdim=True)
        swap = torch.where(rows == k, pivot, torch.where(rows == pivot, k, rows))
        lu, order = lu.gather(-2, swap.unsqueeze(-1).expand(lu.shape)), order.gather(-1, swap)
        found, top = column(lu, k), row(lu, k)
        head = found.index_select(-1, k.reshape(1))
        factor = torch.where(rows > k, found / torch.where(head == 0, 1, head), 0).unsqueeze(-1)
        lu = lu - factor * torch.where(columns > k, top, 0).unsqueeze(-2)
        lu = torch.where((rows > k).unsqueeze(-1) & (columns == k), factor, lu)
        return lu, order, (pivot + 1).to(torch.int32).squeeze(-1)

    steps = torch.arange(min(a.shape[-2:]), device=a.device)
    lu, order, pivots = scan(step, [a, rows.expand(a.shape[:-1])], [steps])
    return lu, order, pivots.movedim(0, -1)


def unpacked_lu(lu: Tensor, order: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """P, L and U from what `packed_lu` gives."""
    m, n = lu.shape[-2:]
    r = min(m, n)
    lower = lu[..., :, :r].tril(-1) + torch.eye(m, r, dtype=lu.dtype, device=lu.device)
    rows = torch.arange(m, device=lu.device)
    swapped = (rows[:, None] == order.unsqueeze(-2)).to(lu.dtype)
    return swapped, lower, lu[..., :r, :].triu()


def linalg_lu(a: Tensor, *, pivot: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """LU factorization with swapped rows, column by column.

    Rounding as in torch. Left alone without pivoting.
    """
    if not pivot:
        return NotImplemented
    lu, order, _ = packed_lu(a)
    return unpacked_lu(lu, order)


def linalg_lu_factor(a: Tensor, *, pivot: bool = True) -> tuple[Tensor, Tensor]:
    """Packed LU factorization with pivots, column by column.

    Rounding as in torch. Left alone without pivoting.
    """
    if not pivot:
        return NotImplemented
    lu, _, pivots = packed_lu(a)
    return lu, pivots


def linalg_lu_factor_ex(
    a: Tensor, *, pivot: bool = True, check_errors: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Packed LU factorization with pivots, column by column, and an error code that is always 0.

    Rounding as in torch. Left alone without pivoting.
    """
    del check_errors
    if not pivot:
        return NotImplemented
    lu, _, pivots = packed_lu(a)
    return lu, pivots, torch.zeros(a.shape[:-2], dtype=torch.int32, device=a.device)


def order_of_rows(pivots: Tensor, m: int) -> Tensor:
    """The order of rows after one swap for each pivot."""
    rows = torch.arange(m, device=pivots.device)

    def step(order: Tensor, pivot: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        rows = torch.arange(order.shape[-1], device=order.device)
        other = pivot.unsqueeze(-1).to(torch.int64) - 1
        swap = torch.where(rows == k, other, torch.where(rows == other, k, rows))
        # What is stacked is of no use: a scan must stack something.
        return order.gather(-1, swap), other.squeeze(-1)

    start = rows.expand((*pivots.shape[:-1], m))
    steps = torch.arange(pivots.shape[-1], device=pivots.device)
    return scan(step, [start], [pivots.movedim(-1, 0), steps])[0]


def lu_unpack(
    lu: Tensor, pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """P, L and U, by making the swaps one after the other.

    Exact.
    """
    swapped, lower, upper = unpacked_lu(lu, order_of_rows(pivots, lu.shape[-2]))
    none = lu.new_empty(0)
    if not unpack_data:
        lower, upper = none, none.clone()
    return swapped if unpack_pivots else none.clone(), lower, upper


def linalg_qr(a: Tensor, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    """QR factorization by Householder reflections, with the signs of LAPACK.

    Rounding as in torch.
    """
    m, n = a.shape[-2:]

    def step(r: Tensor, q: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        rows = torch.arange(r.shape[-2], device=r.device)
        x = column(r, k)
        alpha = x.index_select(-1, k.reshape(1))
        below = torch.where(rows > k, x, 0)
        rest = below.square().sum(-1, keepdim=True)
        norm = (alpha * alpha + rest).sqrt()
        beta = torch.where(alpha >= 0, -norm, norm)
        live = rest > 0
        v = below / torch.where(live, alpha - beta, 1) + (rows == k).to(r.dtype)
        tau = torch.where(live, (beta - alpha) / torch.where(live, beta, 1), 0).unsqueeze(-1)
        v = v.unsqueeze(-1)
        return r - tau * v * (v.mT @ r), q - (q @ v) * (tau * v.mT), k.clone()

    eye = torch.eye(m, dtype=a.dtype, device=a.device).expand((*a.shape[:-2], m, m))
    steps = torch.arange(min(m, n), device=a.device)
    r, q, _ = scan(step, [a, eye], [steps])
    r = r.triu()
    if mode == "complete":
        return q, r
    size = min(m, n)
    return (a.new_empty(0) if mode == "r" else q[..., :, :size]), r[..., :size, :]


def qr(a: Tensor, some: bool = True) -> tuple[Tensor, Tensor]:
    """QR factorization by Householder reflections, with the signs of LAPACK.

    Rounding as in torch.
    """
    return linalg_qr(a, "reduced" if some else "complete")


def householder_product(a: Tensor, tau: Tensor) -> Tensor:
    """The product of Householder reflections, one after the other.

    Rounding as in torch.
    """
    m, n = a.shape[-2:]

    def step(q: Tensor, v: Tensor, scale: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        rows = torch.arange(q.shape[-1], device=q.device)
        v = (torch.where(rows > k, v, 0) + (rows == k).to(q.dtype)).unsqueeze(-1)
        return q - (q @ v) * (scale[..., None, None] * v.mT), k.clone()

    eye = torch.eye(m, dtype=a.dtype, device=a.device).expand((*a.shape[:-2], m, m))
    steps = torch.arange(tau.shape[-1], device=a.device)
    vectors = a.movedim(-1, 0)[: tau.shape[-1]]
    return scan(step, [eye], [vectors, tau.movedim(-1, 0), steps])[0][..., :, :n]


DEFINITE = positive_definite((2, 6), (5, 9), (3, 40))
TALL, WIDE, SQUARE = (
    normal((2, 5, 3), (7, 5, 3), (3, 5, 3)),
    normal((2, 4, 6), (7, 4, 6), (3, 4, 6)),
    invertible((2, 5), (4, 7), (3, 12)),
)
ENTRIES = (
    Decomposition(
        (aten.linalg_cholesky.default,),
        linalg_cholesky,
        (example(torch.linalg.cholesky, DEFINITE),),
        reaches=("aten::linalg_cholesky_ex.default",),
    ),
    Decomposition(
        (aten.linalg_cholesky_ex.default,),
        linalg_cholesky_ex,
        (example(lambda a: torch.linalg.cholesky_ex(a, upper=True), DEFINITE),),
    ),
    Decomposition(
        (aten.cholesky.default,),
        cholesky,
        (example(lambda a: torch.cholesky(a), DEFINITE),),  # gone in torch 2.14,
    ),
    Decomposition(
        (aten.linalg_lu.default,),
        linalg_lu,
        (example(torch.linalg.lu, SQUARE), example(torch.linalg.lu, TALL)),
    ),
    Decomposition(
        (aten.linalg_lu_factor.default,),
        linalg_lu_factor,
        (example(torch.linalg.lu_factor, SQUARE),),
        reaches=("aten::linalg_lu_factor_ex.default",),
    ),
    Decomposition(
        (aten.linalg_lu_factor_ex.default,),
        linalg_lu_factor_ex,
        (example(torch.linalg.lu_factor_ex, SQUARE),),
    ),
    Decomposition(
        (aten.lu_unpack.default,),
        lu_unpack,
        (example(torch.lu_unpack, factored(SQUARE, 0), factored(SQUARE, 1)),),
    ),
    Decomposition(
        (aten.linalg_qr.default,),
        linalg_qr,
        (
            example(torch.linalg.qr, TALL),
            example(torch.linalg.qr, SQUARE),
            example(lambda a: torch.linalg.qr(a, mode="complete"), WIDE),
        ),
    ),
    Decomposition(
        (aten.qr.default,), qr, (example(torch.qr, TALL),), reaches=("aten::linalg_qr.default",)
    ),
    Decomposition(
        (aten.linalg_householder_product.default,),
        householder_product,
        (example(torch.linalg.householder_product, TALL, normal((2, 3), (7, 3), (3, 3))),),
    ),
)
