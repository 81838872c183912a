"""Orthogonal polynomials of a degree that is known when the model is exported, by their recurrences."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from onnx_debug.session.fixes.operators.catalogue.gamma import as_float
from onnx_debug.session.fixes.operators.decomposition import Decomposition, Example, example
from onnx_debug.session.fixes.operators.samples import uniform
from onnx_debug.torch_private.operators import aten


def by_recurrence(
    n: float, one: Tensor, first: Tensor, following: Callable[[int, Tensor, Tensor], Tensor]
) -> Tensor:
    """The polynomial of degree n, from those of degree 0 and 1 and how each follows from the two before."""
    if n < 0:
        return torch.zeros_like(one)
    before, value = one, first
    for k in range(1, int(n)):
        before, value = value, following(k, before, value)
    return one if n < 1 else value


def chebyshev_t(x: Tensor, n: float) -> Tensor:
    """Chebyshev polynomial of the first kind, by its recurrence.

    Rounding grows slowly with the degree; two nodes a degree.
    """
    x = as_float(x)
    return by_recurrence(n, torch.ones_like(x), x, lambda _, a, b: 2 * x * b - a)


def chebyshev_u(x: Tensor, n: float) -> Tensor:
    """Chebyshev polynomial of the second kind, by its recurrence.

    Rounding grows slowly with the degree; two nodes a degree.
    """
    x = as_float(x)
    return by_recurrence(n, torch.ones_like(x), 2 * x, lambda _, a, b: 2 * x * b - a)


def chebyshev_v(x: Tensor, n: float) -> Tensor:
    """Chebyshev polynomial of the third kind, by its recurrence.

    Rounding grows slowly with the degree; two nodes a degree.
    """
    x = as_float(x)
    return by_recurrence(n, torch.ones_like(x), 2 * x - 1, lambda _, a, b: 2 * x * b - a)


def chebyshev_w(x: Tensor, n: float) -> Tensor:
    """Chebyshev polynomial of the fourth kind, by its recurrence.

    Rounding grows slowly with the degree; two nodes a degree.
    """
    x = as_float(x)
    return by_recurrence(n, torch.ones_like(x), 2 * x + 1, lambda _, a, b: 2 * x * b - a)


def shifted_chebyshev_t(x: Tensor, n: float) -> Tensor:
    """Chebyshev polynomial of the first kind, moved to the interval from 0 to 1.

    Rounding grows slowly with the degree; two nodes a degree.
    """
    return chebyshev_t(2 * as_float(x) - 1, n)


def shifted_chebyshev_u(x: Tensor, n: float) -> Tensor:
    """Chebyshev polynomial of the second kind, moved to the interval from 0 to 1.

    Rounding grows slowly with the degree; two nodes a degree.
    """
    return chebyshev_u(2 * as_float(x) - 1, n)


def hermite_h(x: Tensor, n: float) -> Tensor:
    """Hermite polynomial of the physicists, by its recurrence.

    Rounding grows slowly with the degree; four nodes a degree.
    """
    x = as_float(x)
    return by_recurrence(n, torch.ones_like(x), 2 * x, lambda k, a, b: 2 * (x * b - k * a))


def hermite_he(x: Tensor, n: float) -> Tensor:
    """Hermite polynomial of the probabilists, by its recurrence.

    Rounding grows slowly with the degree; three nodes a degree.
    """
    x = as_float(x)
    return by_recurrence(n, torch.ones_like(x), x, lambda k, a, b: x * b - k * a)


def laguerre(x: Tensor, n: float) -> Tensor:
    """Laguerre polynomial, by its recurrence.

    Rounding grows slowly with the degree; five nodes a degree.
    """
    x = as_float(x)
    return by_recurrence(
        n, torch.ones_like(x), 1 - x, lambda k, a, b: ((2 * k + 1 - x) * b - k * a) / (k + 1)
    )


def legendre(x: Tensor, n: float) -> Tensor:
    """Legendre polynomial, by its recurrence.

    Rounding grows slowly with the degree; five nodes a degree.
    """
    x = as_float(x)
    return by_recurrence(
        n, torch.ones_like(x), x, lambda k, a, b: ((2 * k + 1) * x * b - k * a) / (k + 1)
    )


def examples(call: Callable[[Tensor, int], Tensor]) -> tuple[Example, ...]:
    """Degree 4 on inputs of three sizes."""
    return (example(lambda x: call(x, 4), uniform(-2, 2, (3, 5), (7, 9), (4, 2))),)


special = torch.special
LIMITS = "Only with the degree as a number, not as a tensor."
ENTRIES = tuple(
    Decomposition((target.n_scalar,), function, examples(call), limits=LIMITS)
    for target, function, call in (
        (aten.special_chebyshev_polynomial_t, chebyshev_t, special.chebyshev_polynomial_t),
        (aten.special_chebyshev_polynomial_u, chebyshev_u, special.chebyshev_polynomial_u),
        (aten.special_chebyshev_polynomial_v, chebyshev_v, special.chebyshev_polynomial_v),
        (aten.special_chebyshev_polynomial_w, chebyshev_w, special.chebyshev_polynomial_w),
        (
            aten.special_shifted_chebyshev_polynomial_t,
            shifted_chebyshev_t,
            special.shifted_chebyshev_polynomial_t,
        ),
        (
            aten.special_shifted_chebyshev_polynomial_u,
            shifted_chebyshev_u,
            special.shifted_chebyshev_polynomial_u,
        ),
        (aten.special_hermite_polynomial_h, hermite_h, special.hermite_polynomial_h),
        (aten.special_hermite_polynomial_he, hermite_he, special.hermite_polynomial_he),
        (aten.special_laguerre_polynomial_l, laguerre, special.laguerre_polynomial_l),
        (aten.special_legendre_polynomial_p, legendre, special.legendre_polynomial_p),
    )
)
