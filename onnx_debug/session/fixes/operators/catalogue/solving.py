"""Solving linear systems, inverses and determinants, as one Scan over the columns."""

from __future__ import annotations

import torch
from torch import Tensor

from onnx_debug.session.fixes.operators.catalogue.factorizations import order_of_rows, packed_lu
from onnx_debug.session.fixes.operators.catalogue.loops import column, row, scan
from onnx_debug.session.fixes.operators.decomposition import Decomposition, example
from onnx_debug.session.fixes.operators.samples import (
    factored,
    invertible,
    normal,
    positive_definite,
    symmetric,
    triangular,
)
from onnx_debug.torch_private.operators import aten


def eliminate(a: Tensor, b: Tensor) -> Tensor:
    """Solve `a x = b` by Gauss-Jordan elimination with swapped rows."""
    n = a.shape[-1]
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    both = torch.cat([a.expand((*batch, *a.shape[-2:])), b.expand((*batch, *b.shape[-2:]))], -1)

    def step(both: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        rows = torch.arange(both.shape[-2], device=both.device)
        pivot = torch.where(rows >= k, column(both, k).abs(), -1).argmax(-1, keepdim=True)
        swap = torch.where(rows == k, pivot, torch.where(rows == pivot, k, rows))
        both = both.gather(-2, swap.unsqueeze(-1).expand(both.shape))
        found, top = column(both, k), row(both, k)
        top = (top / found.index_select(-1, k.reshape(1))).unsqueeze(-2)
        here = (rows == k).unsqueeze(-1)
        return torch.where(here, top, both - found.unsqueeze(-1) * top), k.clone()

    steps = torch.arange(n, device=a.device)
    return scan(step, [both], [steps])[0][..., n:]


def linalg_inv(a: Tensor) -> Tensor:
    """Inverse matrix by Gauss-Jordan elimination with swapped rows.

    Rounding like LU. A singular matrix gives Inf or NaN, where torch raises.
    """
    return eliminate(a, torch.eye(a.shape[-1], dtype=a.dtype, device=a.device))


def linalg_inv_ex(a: Tensor, *, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    """Inverse matrix by Gauss-Jordan elimination, with an error code that is always 0.

    Rounding like LU. A singular matrix gives Inf or NaN.
    """
    del check_errors
    return linalg_inv(a), torch.zeros(a.shape[:-2], dtype=torch.int32, device=a.device)


def linalg_solve(a: Tensor, b: Tensor, *, left: bool = True) -> Tensor:
    """Solution of a linear system by Gauss-Jordan elimination with swapped rows.

    Rounding like LU. A singular matrix gives Inf or NaN, where torch raises.
    """
    if b.dim() == 1 or (a.dim() - 1 == b.dim() and b.shape == a.shape[:-1]):
        return eliminate(a, b.unsqueeze(-1)).squeeze(-1)
    return eliminate(a, b) if left else eliminate(a.mT, b.mT).mT


def linalg_solve_ex(
    a: Tensor, b: Tensor, *, left: bool = True, check_errors: bool = False
) -> tuple[Tensor, Tensor]:
    """Solution of a linear system by Gauss-Jordan elimination, with an error code that is always 0.

    Rounding like LU. A singular matrix gives Inf or NaN.
    """
    del check_errors
    info = torch.zeros(a.shape[:-2], dtype=torch.int32, device=a.device)
    return linalg_solve(a, b, left=left), info


def solve_by_lu(
    a: Tensor, b: Tensor, *, left: bool = True, check_errors: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Solution of a linear system, with its LU factors beside it.

    Rounding like LU. A singular matrix gives Inf or NaN. The factors cost nothing when unused.
    """
    solution, info = linalg_solve_ex(a, b, left=left, check_errors=check_errors)
    lu, _, pivots = packed_lu(a)
    return solution, lu, pivots, info


def forward_substitute(a: Tensor, b: Tensor, *, unit: bool) -> Tensor:
    """Solve `a x = b` for a lower triangular matrix, row by row."""
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = a.expand((*batch, *a.shape[-2:])), b.expand((*batch, *b.shape[-2:]))

    def step(x: Tensor, a_row: Tensor, b_row: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        rows = torch.arange(x.shape[-2], device=x.device)
        before = torch.where(rows < k, a_row, 0).unsqueeze(-2)
        found = b_row.unsqueeze(-2) - before @ x
        if not unit:
            found = found / a_row.index_select(-1, k.reshape(1)).unsqueeze(-1)
        return torch.where((rows == k).unsqueeze(-1), found, x), k.clone()

    steps = torch.arange(a.shape[-1], device=a.device)
    return scan(step, [torch.zeros_like(b)], [a.movedim(-2, 0), b.movedim(-2, 0), steps])[0]


def substitute(a: Tensor, b: Tensor, *, upper: bool, unit: bool) -> Tensor:
    """Solve `a x = b` for a triangular matrix; an upper one is turned round."""
    if not upper:
        return forward_substitute(a, b, unit=unit)
    return forward_substitute(a.flip((-2, -1)), b.flip(-2), unit=unit).flip(-2)


def linalg_solve_triangular(
    a: Tensor, b: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """Solution of a triangular system, row by row.

    Rounding as in torch.
    """
    if left:
        return substitute(a, b, upper=upper, unit=unitriangular)
    return substitute(a.mT, b.mT, upper=not upper, unit=unitriangular).mT


def triangular_solve(
    b: Tensor, a: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> tuple[Tensor, Tensor]:
    """Solution of a triangular system, row by row.

    Rounding as in torch.
    """
    matrix = a.mT if transpose else a
    return substitute(matrix, b, upper=upper != transpose, unit=unitriangular), a.clone()


def cholesky_solve(b: Tensor, factor: Tensor, upper: bool = False) -> Tensor:
    """Solution of a system whose Cholesky factor is known, by two substitutions.

    Rounding as in torch.
    """
    lower = factor.mT if upper else factor
    half = substitute(lower, b, upper=False, unit=False)
    return substitute(lower.mT, half, upper=True, unit=False)


def cholesky_inverse(factor: Tensor, upper: bool = False) -> Tensor:
    """Inverse of a matrix whose Cholesky factor is known, by two substitutions.

    Rounding as in torch.
    """
    eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    return cholesky_solve(eye, factor, upper)


def linalg_lu_solve(
    lu: Tensor, pivots: Tensor, b: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """Solution of a system whose LU factors are known, by two substitutions.

    Rounding as in torch.
    """
    if not left:
        return linalg_lu_solve(lu, pivots, b.mT, adjoint=not adjoint).mT
    order = order_of_rows(pivots, lu.shape[-1]).unsqueeze(-1)
    batch = torch.broadcast_shapes(lu.shape[:-2], b.shape[:-2])
    b = b.expand((*batch, *b.shape[-2:]))
    if not adjoint:
        b = b.gather(-2, order.expand(b.shape))
        half = substitute(lu, b, upper=False, unit=True)
        return substitute(lu, half, upper=True, unit=False)
    half = substitute(lu.mT, b, upper=False, unit=False)
    done = substitute(lu.mT, half, upper=True, unit=True)
    return torch.zeros_like(done).scatter(-2, order.expand(done.shape), done)


def linalg_slogdet(a: Tensor) -> tuple[Tensor, Tensor]:
    """Sign and logarithm of the determinant, from the LU factorization.

    Rounding as in torch.
    """
    return slogdet_by_lu(a)[:2]


def slogdet_by_lu(a: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sign and logarithm of the determinant, with the LU factors beside them.

    Rounding as in torch.
    """
    lu, _, pivots = packed_lu(a)
    diagonal = lu.diagonal(dim1=-2, dim2=-1)
    steps = torch.arange(pivots.shape[-1], device=a.device)
    swaps = (pivots != steps + 1).to(torch.int64).sum(-1)
    sign = diagonal.sign().prod(-1) * (1 - 2 * (swaps % 2)).to(a.dtype)
    return sign, diagonal.abs().log().sum(-1), lu, pivots


def linalg_matrix_exp(a: Tensor) -> Tensor:
    """Exponential of a matrix: a Taylor series of the matrix made small, then squared up.

    Differs by about 1e-6 relatively for norms below 10 in float32; each doubling of the norm adds
    one rounding. Norms up to 32000.
    """
    norm = a.abs().sum(-2).amax(-1)[..., None, None]
    squarings = torch.ceil(torch.log2(norm.clamp(min=0.5) / 0.5)).clamp(max=16)
    small = a * torch.exp2(-squarings)
    eye = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    result = eye.expand(a.shape)
    for k in range(10, 0, -1):
        result = eye + small @ result / k
    for k in range(16):
        result = torch.where(squarings > k, result @ result, result)
    return result


MATRIX = invertible((2, 5), (4, 7), (3, 20))
RIGHT = normal((2, 5, 3), (4, 7, 2), (3, 20, 4))
VECTOR = normal((2, 5), (4, 7), (3, 20))
LOWER = triangular((2, 5), (4, 7), (3, 12))
SIDE = normal((2, 5, 3), (4, 7, 2), (3, 12, 4))
REACHES_INV, REACHES_SOLVE = ("aten::linalg_inv_ex.default",), ("aten::_linalg_solve_ex.default",)


ENTRIES = (
    Decomposition(
        (aten.linalg_inv.default, aten.inverse.default),
        linalg_inv,
        (example(torch.linalg.inv, MATRIX), example(torch.inverse, MATRIX)),
        reaches=REACHES_INV,
    ),
    Decomposition(
        (aten.linalg_inv_ex.default,),
        linalg_inv_ex,
        (example(lambda a: torch.linalg.inv_ex(a), MATRIX),),
    ),
    Decomposition(
        (aten.linalg_solve.default,),
        linalg_solve,
        (
            example(torch.linalg.solve, MATRIX, RIGHT),
            example(torch.linalg.solve, MATRIX, VECTOR),
            example(lambda a, b: torch.linalg.solve(a, b.mT, left=False), MATRIX, RIGHT),
        ),
        reaches=REACHES_SOLVE,
    ),
    Decomposition(
        (aten.linalg_solve_ex.default,),
        linalg_solve_ex,
        (example(torch.linalg.solve_ex, MATRIX, RIGHT),),
        reaches=REACHES_SOLVE,
    ),
    Decomposition(
        (aten._linalg_solve_ex.default,),
        solve_by_lu,
        (example(lambda a, b: aten._linalg_solve_ex(a, b)[0], MATRIX, RIGHT),),
    ),
    Decomposition(
        (aten.linalg_solve_triangular.default,),
        linalg_solve_triangular,
        (
            example(lambda a, b: torch.linalg.solve_triangular(a, b, upper=False), LOWER, SIDE),
            example(
                lambda a, b: torch.linalg.solve_triangular(
                    a.mT, b.mT, upper=True, left=False, unitriangular=True
                ),
                LOWER,
                SIDE,
            ),
        ),
    ),
    Decomposition(
        (aten.triangular_solve.default,),
        triangular_solve,
        (
            example(
                lambda b, a: torch.triangular_solve(b, a, upper=False, transpose=True)[0],
                SIDE,
                LOWER,
            ),
        ),
    ),
    Decomposition(
        (aten.cholesky_solve.default,),
        cholesky_solve,
        (example(torch.cholesky_solve, SIDE, LOWER),),
    ),
    Decomposition(
        (aten.cholesky_inverse.default,),
        cholesky_inverse,
        (example(torch.cholesky_inverse, LOWER),),
    ),
    Decomposition(
        (aten.linalg_lu_solve.default,),
        linalg_lu_solve,
        (
            example(torch.linalg.lu_solve, factored(MATRIX, 0), factored(MATRIX, 1), RIGHT),
            example(
                lambda lu, pivots, b: torch.linalg.lu_solve(lu, pivots, b.mT, left=False),
                factored(MATRIX, 0),
                factored(MATRIX, 1),
                RIGHT,
            ),
        ),
    ),
    Decomposition(
        (aten.linalg_slogdet.default, aten.slogdet.default),
        linalg_slogdet,
        (example(torch.linalg.slogdet, symmetric((2, 5), (4, 8), (3, 40))),),
        reaches=("aten::_linalg_slogdet.default",),
    ),
    Decomposition(
        (aten._linalg_slogdet.default,),
        slogdet_by_lu,
        (example(lambda a: aten._linalg_slogdet(a)[:2], symmetric((2, 5), (4, 8), (3, 40))),),
    ),
    Decomposition(
        (aten.linalg_matrix_exp.default, aten.matrix_exp.default),
        linalg_matrix_exp,
        (
            example(
                torch.linalg.matrix_exp, normal((2, 5, 5), (4, 7, 7), (3, 9, 9)), tolerance=1e-4
            ),
            example(torch.matrix_exp, positive_definite((2, 5), (4, 7), (3, 12)), tolerance=1e-4),
        ),
    ),
)
