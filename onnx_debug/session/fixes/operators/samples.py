"""Values for the examples: each function takes the sizes and returns what makes the tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from onnx_debug.session.fixes.operators.decomposition import Samples

Size = tuple[int, ...]


def normal(*sizes: Size, dtype: torch.dtype = torch.float32) -> Samples:
    """Normally distributed values."""
    return lambda generator: [
        torch.randn(size, generator=generator, dtype=torch.float64).to(dtype) for size in sizes
    ]


def uniform(low: float, high: float, *sizes: Size, dtype: torch.dtype = torch.float32) -> Samples:
    """Values between two bounds."""
    return lambda generator: [
        (torch.rand(size, generator=generator, dtype=torch.float64) * (high - low) + low).to(dtype)
        for size in sizes
    ]


def whole(low: int, high: int, *sizes: Size, dtype: torch.dtype = torch.int64) -> Samples:
    """Whole numbers from `low` up to and without `high`; many of them are equal."""
    return lambda generator: [
        torch.randint(low, high, size, generator=generator).to(dtype) for size in sizes
    ]


def permutation(*lengths: tuple[int, int]) -> Samples:
    """The first so many of the numbers below a bound, in any order and none twice: (many, bound)."""
    return lambda generator: [
        torch.randperm(bound, generator=generator)[:many] for many, bound in lengths
    ]


def masks(*sizes: Size) -> Samples:
    """True and False alike often."""
    return lambda generator: [torch.rand(size, generator=generator) > 0.5 for size in sizes]


def changed(samples: Samples, change: Callable[[Tensor], Tensor]) -> Samples:
    """The same values after a function."""
    return lambda generator: [change(value) for value in samples(generator)]


def ascending(samples: Samples) -> Samples:
    """The same values sorted along the last dimension."""
    return changed(samples, lambda value: value.sort(-1).values)


def with_nans(samples: Samples) -> Samples:
    """The same values with NaN where they are largest."""
    return changed(samples, lambda value: torch.where(value > 1, torch.nan, value))


def positive_definite(*sizes: Size) -> Samples:
    """Symmetric matrices without small eigenvalues: (batch, n)."""
    return changed(
        normal(*((*batch, n, n) for *batch, n in sizes)),
        lambda value: value @ value.mT / value.shape[-1] + torch.eye(value.shape[-1]),
    )


def symmetric(*sizes: Size) -> Samples:
    """Symmetric matrices: (batch, n)."""
    return changed(normal(*((*batch, n, n) for *batch, n in sizes)), lambda value: value + value.mT)


def invertible(*sizes: Size) -> Samples:
    """Matrices far from singular whose rows must be swapped on the way: (batch, n)."""
    return changed(
        normal(*((*batch, n, n) for *batch, n in sizes)),
        lambda value: (value + value.shape[-1] * torch.eye(value.shape[-1])).roll(1, -2),
    )


def triangular(*sizes: Size) -> Samples:
    """Lower triangular matrices without small numbers on the diagonal: (batch, n)."""
    return changed(
        normal(*((*batch, n, n) for *batch, n in sizes)),
        lambda value: value.tril(-1) * 0.5 + 2 * torch.eye(value.shape[-1]),
    )


def factored(matrices: Samples, part: int) -> Samples:
    """The packed LU factors (part 0) of the same matrices each time, or their pivots (part 1)."""
    return lambda _: [
        torch.linalg.lu_factor(a)[part] for a in matrices(torch.Generator().manual_seed(0))
    ]


def complex_values(*sizes: Size) -> Samples:
    """Real tensors with a last dimension of 2: real and imaginary part of what `call` makes of them."""
    return normal(*((*size, 2) for size in sizes))
