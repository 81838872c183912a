"""Eigenvalues of symmetric matrices and singular values, by Jacobi's rotations.

One Scan: each step turns all pairs of a round at once, each pair meets once a sweep, and after ten
sweeps nothing is left to turn, up to sizes of about a hundred. Vectors come out with signs of their
own, as they are no part of the definition: compare what does not depend on them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from onnx_debug.session.fixes.operators.catalogue.factorizations import linalg_qr
from onnx_debug.session.fixes.operators.catalogue.loops import scan
from onnx_debug.session.fixes.operators.decomposition import Decomposition, example
from onnx_debug.session.fixes.operators.samples import normal, symmetric
from onnx_debug.torch_private.operators import aten


def rounds(n: int, device: torch.device) -> Tensor:
    """Who is paired with whom, a row for each round of ten tournaments of n players."""
    many = n - 1 + n % 2
    number = torch.arange(10 * many, device=device)[:, None] % many
    player = torch.arange(n, device=device)
    # In round r, i meets r - i; where that is i itself it rests, or meets the last of an even number.
    partner = (number - player + many) % many
    if n % 2 == 1:
        return partner
    partner = torch.where(partner == player, n - 1, partner)
    return torch.where(player == n - 1, number * (n // 2) % many, partner)


def rotation(own: Tensor, other: Tensor, between: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angle that makes `between` zero, for each player of a round."""
    player = torch.arange(partner.shape[-1], device=partner.device)
    idle = (between == 0) | (partner == player)
    ratio = (other - own) / torch.where(idle, 1, 2 * between)
    positive = (ratio > 0) | ((ratio == 0) & (player < partner))
    tangent = torch.where(positive, 1, -1) / (ratio.abs() + (ratio * ratio + 1).sqrt())
    tangent = torch.where(idle, 0, tangent)
    cosine = torch.rsqrt(tangent * tangent + 1)
    return cosine, tangent * cosine


def linalg_eigh(a: Tensor, UPLO: str = "L") -> tuple[Tensor, Tensor]:  # noqa: N803 - the operator's argument
    """Eigenvalues and eigenvectors of a symmetric matrix, by Jacobi's rotations.

    Eigenvalues differ by about 1e-6 of the largest one in float32; vectors only by their signs,
    where eigenvalues are apart. About 10 n steps of matrix products.
    """
    lower = a.tril() if UPLO == "L" else a.triu().mT
    a = lower + lower.tril(-1).mT
    n = a.shape[-1]
    eye = torch.eye(n, dtype=a.dtype, device=a.device)

    def step(a: Tensor, v: Tensor, partner: Tensor) -> tuple[Tensor, ...]:
        own = a.diagonal(dim1=-2, dim2=-1)
        swapped = a.index_select(-1, partner)
        between = swapped.diagonal(dim1=-2, dim2=-1)
        cosine, sine = rotation(own, own.index_select(-1, partner), between, partner)
        a = a * cosine.unsqueeze(-2) - swapped * sine.unsqueeze(-2)
        a = a * cosine.unsqueeze(-1) - a.index_select(-2, partner) * sine.unsqueeze(-1)
        v = v * cosine.unsqueeze(-2) - v.index_select(-1, partner) * sine.unsqueeze(-2)
        return a, v, partner.clone()

    turned, vectors, _ = scan(step, [a, eye.expand(a.shape)], [rounds(n, a.device)])
    values, order = torch.sort(turned.diagonal(dim1=-2, dim2=-1))
    return values, vectors.gather(-1, order.unsqueeze(-2).expand(vectors.shape))


def eigh_or_values(
    a: Tensor,
    UPLO: str = "L",  # noqa: N803 - the operator's argument
    compute_v: bool = True,
) -> tuple[Tensor, Tensor]:
    """Eigenvalues of a symmetric matrix, with or without its eigenvectors, by Jacobi's rotations.

    As `linalg_eigh`.
    """
    values, vectors = linalg_eigh(a, UPLO)
    return values, vectors if compute_v else a.new_empty(0)


def linalg_eigvalsh(a: Tensor, UPLO: str = "L") -> Tensor:  # noqa: N803 - the operator's argument
    """Eigenvalues of a symmetric matrix, by Jacobi's rotations.

    They differ by about 1e-6 of the largest one in float32. About 10 n steps of matrix products.
    """
    return linalg_eigh(a, UPLO)[0]


def reduced_svd(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Singular values and vectors, by turning pairs of columns until all are orthogonal."""
    wide = a.shape[-2] < a.shape[-1]
    a = a.mT if wide else a
    n = a.shape[-1]
    eye = torch.eye(n, dtype=a.dtype, device=a.device).expand((*a.shape[:-2], n, n))

    def step(u: Tensor, v: Tensor, partner: Tensor) -> tuple[Tensor, ...]:
        swapped = u.index_select(-1, partner)
        own, between = u.square().sum(-2), (u * swapped).sum(-2)
        cosine, sine = rotation(own, own.index_select(-1, partner), between, partner)
        cosine, sine = cosine.unsqueeze(-2), sine.unsqueeze(-2)
        v = v * cosine - v.index_select(-1, partner) * sine
        return u * cosine - swapped * sine, v, partner.clone()

    u, v, _ = scan(step, [a, eye], [rounds(n, a.device)])
    size, order = torch.sort(u.square().sum(-2).sqrt(), descending=True)
    order = order.unsqueeze(-2)
    u, v = u.gather(-1, order.expand(u.shape)), v.gather(-1, order.expand(v.shape))
    u = u / torch.where(size == 0, 1, size).unsqueeze(-2)
    return (v, size, u.mT) if wide else (u, size, v.mT)


def completed(u: Tensor) -> Tensor:
    """Orthogonal columns, and further ones until they fill a square matrix."""
    complement = linalg_qr(u, "complete")[0][..., :, u.shape[-1] :]
    return torch.cat([u, complement], -1)


def linalg_svd(
    a: Tensor, full_matrices: bool = True, *, driver: str | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Singular values and vectors, by one-sided Jacobi rotations.

    Singular values differ by about 1e-6 of the largest one in float32; vectors only by their signs,
    where singular values are apart. About 10 n steps over the matrix.
    """
    del driver
    u, size, vh = reduced_svd(a)
    if full_matrices and a.shape[-2] > a.shape[-1]:
        u = completed(u)
    elif full_matrices and a.shape[-2] < a.shape[-1]:
        vh = completed(vh.mT).mT
    return u, size, vh


def svd_or_values(
    a: Tensor, full_matrices: bool = False, compute_uv: bool = True, *, driver: str | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Singular values, with or without vectors, by one-sided Jacobi rotations.

    As `linalg_svd`.
    """
    if compute_uv:
        return linalg_svd(a, full_matrices, driver=driver)
    return a.new_empty(0), reduced_svd(a)[1], a.new_empty(0)


def linalg_svdvals(a: Tensor, *, driver: str | None = None) -> Tensor:
    """Singular values, by one-sided Jacobi rotations.

    They differ by about 1e-6 of the largest one in float32. About 10 n steps over the matrix.
    """
    del driver
    return reduced_svd(a)[1]


def svd(a: Tensor, some: bool = True, compute_uv: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Singular values and vectors with the old signature, by one-sided Jacobi rotations.

    As `linalg_svd`. Left alone without vectors.
    """
    if not compute_uv:
        return NotImplemented
    u, size, vh = linalg_svd(a, full_matrices=not some)
    return u, size, vh.mT


def linalg_pinv(
    a: Tensor, *, atol: Tensor | None = None, rtol: Tensor | None = None, hermitian: bool = False
) -> Tensor:
    """Pseudoinverse from the singular values; those below torch's tolerance count as zero.

    Differs by about 1e-6 times the condition number in float32.
    """
    del hermitian
    u, size, vh = reduced_svd(a)
    # With an absolute tolerance and no relative one, torch takes the absolute one alone.
    small = max(a.shape[-2:]) * torch.finfo(a.dtype).eps if atol is None else 0
    relative = small if rtol is None else rtol.unsqueeze(-1)
    limit = relative * size[..., :1]
    if atol is not None:
        limit = torch.maximum(limit, atol.unsqueeze(-1))
    inverse = torch.where(size > limit, 1 / torch.where(size == 0, 1, size), 0)
    return (vh.mT * inverse.unsqueeze(-2)) @ u.mT


def pinverse(a: Tensor, rcond: float = 1e-15) -> Tensor:
    """Pseudoinverse from the singular values, with a relative tolerance.

    Differs by about 1e-6 times the condition number in float32.
    """
    u, size, vh = reduced_svd(a)
    inverse = torch.where(size > rcond * size[..., :1], 1 / torch.where(size == 0, 1, size), 0)
    return (vh.mT * inverse.unsqueeze(-2)) @ u.mT


def nuclear_norm(
    a: Tensor,
    ord: str = "fro",  # noqa: A002 - the operator's argument
    dim: tuple[int, ...] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Sum of the singular values, by one-sided Jacobi rotations.

    Other norms are left alone.
    """
    if ord != "nuc":
        return NotImplemented
    matrix = (a if dtype is None else a.to(dtype)).movedim(tuple(dim), (-2, -1))
    total = reduced_svd(matrix)[1].sum(-1)
    for place in sorted(d % a.dim() for d in dim) if keepdim else ():
        total = total.unsqueeze(place)
    return total


SYMMETRIC = symmetric((2, 4), (5, 4), (3, 4))
LARGER = symmetric((2, 15), (3, 15), (4, 15))
TALL, WIDE = normal((2, 6, 4), (7, 6, 4), (3, 6, 4)), normal((2, 3, 5), (7, 3, 5), (4, 3, 5))
SVD, EIGH = ("aten::_linalg_svd.default",), ("aten::_linalg_eigh.default",)


def without_signs(*found: Tensor) -> tuple[Tensor, ...]:
    """The sizes of all entries: signs of vectors are arbitrary."""
    return tuple(value.abs() for value in found)


def rebuilt(u: Tensor, size: Tensor, vh: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The matrix and the products of vectors that must be the identity."""
    n = size.shape[-1]
    return (u[..., :, :n] * size.unsqueeze(-2)) @ vh[..., :n, :], u.mT @ u, vh @ vh.mT


ENTRIES = (
    Decomposition(
        (aten.linalg_eigh.default,),
        linalg_eigh,
        (example(lambda a: without_signs(*torch.linalg.eigh(a)), SYMMETRIC, tolerance=1e-4),),
        reaches=EIGH,
    ),
    Decomposition(
        (aten._linalg_eigh.default,),
        eigh_or_values,
        (example(lambda a: without_signs(*aten._linalg_eigh(a)), SYMMETRIC, tolerance=1e-4),),
    ),
    Decomposition(
        (aten.linalg_eigvalsh.default,),
        linalg_eigvalsh,
        (
            example(torch.linalg.eigvalsh, LARGER),
            example(
                lambda a: torch.linalg.eigvalsh(a, UPLO="U"),
                normal((2, 2, 2), (3, 2, 2), (4, 2, 2)),
            ),
        ),
        reaches=EIGH,
    ),
    Decomposition(
        (aten.linalg_svd.default,),
        linalg_svd,
        (
            example(lambda a: rebuilt(*torch.linalg.svd(a)), TALL),
            example(
                lambda a: without_signs(*torch.linalg.svd(a, full_matrices=False)),
                WIDE,
                tolerance=1e-4,
            ),
        ),
        reaches=SVD,
    ),
    Decomposition(
        (aten._linalg_svd.default,),
        svd_or_values,
        (example(lambda a: without_signs(*aten._linalg_svd(a)), TALL, tolerance=1e-4),),
    ),
    Decomposition(
        (aten.linalg_svdvals.default,),
        linalg_svdvals,
        (example(torch.linalg.svdvals, TALL), example(torch.linalg.svdvals, WIDE)),
        reaches=SVD,
    ),
    Decomposition(
        (aten.svd.default,),
        svd,
        (example(lambda a: without_signs(*torch.svd(a)), WIDE, tolerance=1e-4),),
        reaches=SVD,
    ),
    Decomposition(
        (aten.linalg_pinv.atol_rtol_tensor,),
        linalg_pinv,
        (example(lambda a: aten.linalg_pinv.atol_rtol_tensor(a), TALL, tolerance=1e-4),),
        reaches=SVD,
    ),
    Decomposition(
        (aten.pinverse.default,),
        pinverse,
        (example(torch.pinverse, WIDE, tolerance=1e-4),),
        reaches=("aten::linalg_pinv.atol_rtol_tensor",),
    ),
    Decomposition(
        (aten.linalg_matrix_norm.str_ord,),
        nuclear_norm,
        (
            example(lambda a: torch.linalg.matrix_norm(a, "nuc"), TALL),
            example(lambda a: torch.linalg.matrix_norm(a, "nuc", keepdim=True), WIDE),
        ),
        reaches=SVD,
    ),
)
