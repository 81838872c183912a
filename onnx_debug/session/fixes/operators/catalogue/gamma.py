"""The gamma function and its relatives.

Recurrences and series run along a dimension of their own, which is summed: a few nodes in place of
hundreds, for memory of that many copies of the input.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from onnx_debug.session.fixes.operators.decomposition import Decomposition, example
from onnx_debug.session.fixes.operators.samples import uniform, whole
from onnx_debug.torch_private.operators import aten


def as_float(x: Tensor) -> Tensor:
    """Whole numbers as floating point numbers."""
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())


def count_up(start: Tensor, many: int, first: int = 0) -> Tensor:
    """`start + first`, `start + first + 1`, … along a new last dimension."""
    steps = torch.arange(first, first + many, device=start.device)
    return start.unsqueeze(-1) + steps.to(start.dtype)


def lgamma(x: Tensor) -> Tensor:
    """The logarithm of gamma: Stirling's series eight steps up, reflected below one half.

    Differs by about 1e-6 in float32 (1e-11 in float64), absolutely near the zeros, else relatively.
    """
    x = as_float(x)
    low = x < 0.5
    z = torch.where(low, 1 - x, x)
    near = z < 8
    w = torch.where(near, z + 8, z)
    inverse = 1 / (w * w)
    series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / w
    stirling = (w - 0.5) * w.log() - w + 0.5 * math.log(2 * math.pi) + series
    value = stirling - torch.where(near, count_up(z, 8).log().sum(-1), 0)
    # gamma(x) gamma(1 - x) = pi / sin(pi x); the sine of the fraction alone is exact at integers.
    sine = torch.sin(math.pi * (x - x.floor())).abs()
    value = torch.where(low, math.log(math.pi) - sine.log() - value, value)
    return torch.where(torch.isinf(x), torch.inf, value)


def digamma(x: Tensor) -> Tensor:
    """The derivative of `lgamma`: its asymptotic series eight steps up, reflected below zero.

    Differs by about 1e-6 in float32, more within 0.01 of the poles at negative integers.
    """
    x = as_float(x)
    low = x < 0
    z = torch.where(low, 1 - x, x)
    w = z + 8
    inverse = 1 / (w * w)
    series = inverse * (1 / 12 - inverse * (1 / 120 - inverse * (1 / 252 - inverse / 240)))
    value = w.log() - 0.5 / w - series - (1 / count_up(z, 8)).sum(-1)
    part = x - torch.trunc(x)
    reflected = value - math.pi * torch.cos(math.pi * part) / torch.sin(math.pi * part)
    return torch.where(low, torch.where(part == 0, torch.nan, reflected), value)


def zeta(s: Tensor, q: Tensor) -> Tensor:
    """The Hurwitz zeta function: eight terms, then the Euler-Maclaurin formula.

    Differs by about 1e-6 relatively in float32.
    """
    s, q = torch.broadcast_tensors(as_float(s), as_float(q))
    w = q + 8
    head = (count_up(q, 8) ** -s.unsqueeze(-1)).sum(-1)
    power = w**-s
    total = head + w * power / (s - 1) + power / 2
    rising, power = s, power / w
    for k, factor in enumerate((1 / 12, -1 / 720, 1 / 30240, -1 / 1209600)):
        total = total + factor * rising * power  # Bernoulli numbers over factorials
        rising = rising * (s + 2 * k + 1) * (s + 2 * k + 2)
        power = power / (w * w)
    total = torch.where(s < 1, torch.nan, total)
    return torch.where(s == 1, torch.inf, total)


def polygamma(n: int, x: Tensor) -> Tensor:
    """Derivatives of `digamma`, by the Hurwitz zeta function.

    Differs by about 1e-6 relatively in float32, for positive arguments.
    """
    if n == 0:
        return digamma(x)
    x = as_float(x)
    order = torch.full_like(x, n + 1.0)
    return (-1) ** (n + 1) * math.factorial(n) * zeta(order, x)


def mvlgamma(x: Tensor, p: int) -> Tensor:
    """The multivariate `lgamma`: a sum of `lgamma` at arguments half a step apart.

    Differs by about 1e-6 relatively in float32.
    """
    x = as_float(x)
    steps = torch.arange(p, device=x.device).to(x.dtype) / 2
    return lgamma(x.unsqueeze(-1) - steps).sum(-1) + p * (p - 1) / 4 * math.log(math.pi)


def incomplete_gamma(a: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The regularized lower and upper incomplete gamma function.

    Below `a + 1` the series of the lower one, 128 terms; above it the integral of
    `exp(-x t) (1 + t) ** (a - 1)` over positive t, by the trapezoidal rule in log t.
    """
    a, x = torch.broadcast_tensors(as_float(a), as_float(x))
    upper_side = x > a + 1
    positive = x.clamp(min=torch.finfo(x.dtype).tiny)
    power = a * positive.log() - positive
    near = torch.where(upper_side, a, positive).unsqueeze(-1)
    terms = (near / count_up(a, 128, first=1)).log().cumsum(-1).exp()
    scale = torch.exp(power - lgamma(a))
    lower = scale / a * (1 + terms.sum(-1))
    far = torch.where(upper_side, x, a + 2)
    width = far - a + 1
    step = 0.24
    log_t = count_up(torch.zeros_like(x), 96) * step - 18.5 - width.log().unsqueeze(-1)
    t = log_t.exp()
    weight = torch.exp((a - 1).unsqueeze(-1) * (1 + t).log() - far.unsqueeze(-1) * t + log_t)
    upper = scale * weight.sum(-1) * step
    lower = torch.where(x == 0, 0, torch.where(upper_side, 1 - upper, lower))
    return lower, torch.where(upper_side, upper, 1 - lower)


def igamma(a: Tensor, x: Tensor) -> Tensor:
    """The regularized lower incomplete gamma function: its series, or one minus an integral.

    Differs by about 1e-6 in float32, growing with `a`. Memory of 128 copies of the input.
    """
    return incomplete_gamma(a, x)[0]


def igammac(a: Tensor, x: Tensor) -> Tensor:
    """The regularized upper incomplete gamma function: an integral, or one minus the series.

    Differs by about 1e-6 in float32, growing with `a`. Memory of 128 copies of the input.
    """
    return incomplete_gamma(a, x)[1]


SIZES = ((3, 5), (7, 9), (4, 2))
POSITIVE = uniform(0.05, 30, *SIZES)
DOUBLE = uniform(-3, 30, *SIZES, dtype=torch.float64)
SHAPE, POINT = uniform(0.2, 20, *SIZES), uniform(0, 40, *SIZES)
ENTRIES = (
    Decomposition(
        (aten.lgamma.default,),
        lgamma,
        (
            example(torch.lgamma, POSITIVE),
            example(torch.lgamma, uniform(-4.9, 5, *SIZES)),
            example(torch.lgamma, DOUBLE),
            example(torch.lgamma, whole(1, 20, *SIZES)),
        ),
        reaches=("prims::lgamma.default",),
    ),
    Decomposition(
        (aten.mvlgamma.default,),
        mvlgamma,
        (example(lambda x: torch.mvlgamma(x, 3), uniform(2, 30, *SIZES)),),
        reaches=("prims::lgamma.default",),
    ),
    Decomposition(
        (aten.digamma.default,),
        digamma,
        (
            example(torch.digamma, uniform(0.05, 30, *SIZES)),
            example(torch.digamma, uniform(-2.9, -2.1, *SIZES)),
            example(torch.digamma, DOUBLE),
        ),
        reaches=("prims::digamma.default",),
    ),
    Decomposition(
        (aten.polygamma.default,),
        polygamma,
        tuple(
            example(lambda x, n=n: torch.polygamma(n, x), uniform(0.3, 30, *SIZES))
            for n in (0, 1, 3)
        ),
        limits="Wrong for negative arguments when n is not zero.",
    ),
    Decomposition(
        (aten.special_zeta.default,),
        zeta,
        (example(torch.special.zeta, uniform(1.2, 6, *SIZES), uniform(0.5, 9, *SIZES)),),
        reaches=("prims::zeta.default",),
        limits="The second argument must be positive.",
    ),
    Decomposition(
        (aten.igamma.default,),
        igamma,
        (example(torch.igamma, SHAPE, POINT),),
        reaches=("prims::igamma.default",),
        limits="For a above some 500 the series is too short.",
    ),
    Decomposition(
        (aten.igammac.default,),
        igammac,
        (example(torch.igammac, SHAPE, POINT),),
        reaches=("prims::igammac.default",),
        limits="For a above some 500 the series is too short.",
    ),
)
