"""Bessel functions, by the integrals that define them.

The trapezoidal rule converges faster than any power for these integrals: 64 points are exact to
rounding. The points are a dimension of their own: few nodes, for memory of 64 copies of the input.
Far from zero the asymptotic series take over.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from onnx_debug.session.fixes.operators.catalogue.gamma import as_float
from onnx_debug.session.fixes.operators.decomposition import Decomposition, example
from onnx_debug.session.fixes.operators.samples import uniform
from onnx_debug.torch_private.operators import aten


def half_circle(x: Tensor) -> Tensor:
    """64 angles between 0 and pi, in the middle of equal parts."""
    steps = torch.arange(64, device=x.device).to(x.dtype)
    return (steps + 0.5) * (math.pi / 64)


def far_terms(n: int, x: Tensor) -> list[Tensor]:
    """The terms of the asymptotic series of order n, the first of which is 1."""
    terms = [torch.ones_like(x)]
    for k in range(1, 5):
        terms.append(terms[-1] * (4 * n * n - (2 * k - 1) ** 2) / (8 * k * x))
    return terms


def i0e(x: Tensor) -> Tensor:
    """Modified Bessel function of order 0, scaled by `exp(-|x|)`: its integral, or the asymptotic series above 300.

    Differs by about 1e-7 relatively in float32. Memory of 64 copies of the input.
    """
    size = as_float(x).abs()
    near = torch.exp(size.unsqueeze(-1) * (half_circle(size).cos() - 1)).mean(-1)
    far = size.clamp(min=300)
    one, first, second, third, _ = far_terms(0, far)
    beyond = (one - first + second - third) * torch.rsqrt(2 * math.pi * far)
    return torch.where(size > 300, beyond, near)


def i1e(x: Tensor) -> Tensor:
    """Modified Bessel function of order 1, scaled by `exp(-|x|)`: its integral, or the asymptotic series above 300.

    Differs by about 1e-7 relatively in float32. Memory of 64 copies of the input.
    """
    x = as_float(x)
    size = x.abs()
    angle = half_circle(x)
    weight = torch.exp(size.unsqueeze(-1) * (angle.cos() - 1)) * angle.sin() ** 2
    far = size.clamp(min=300)
    one, first, second, third, _ = far_terms(1, far)
    beyond = (one - first + second - third) * torch.rsqrt(2 * math.pi * far)
    return torch.where(size > 300, beyond * torch.sign(x), weight.mean(-1) * x)


def i0(x: Tensor) -> Tensor:
    """Modified Bessel function of order 0, by the scaled one.

    Differs by about 1e-6 relatively in float32. Memory of 64 copies of the input.
    """
    x = as_float(x)
    root = torch.exp(x.abs() / 2)  # twice, as the scaled function is what keeps it finite near 90
    return root * i0e(x) * root


def i1(x: Tensor) -> Tensor:
    """Modified Bessel function of order 1, by the scaled one.

    Differs by about 1e-6 relatively in float32. Memory of 64 copies of the input.
    """
    x = as_float(x)
    root = torch.exp(x.abs() / 2)
    return root * i1e(x) * root


def far_wave(n: int, x: Tensor, *, second_kind: bool) -> Tensor:
    """Bessel function of the first or second kind for large positive arguments."""
    one, first, second, third, fourth = far_terms(n, x)
    even, odd = one - second + fourth, first - third
    phase = x - (n / 2 + 0.25) * math.pi
    sine, cosine = phase.sin(), phase.cos()
    wave = even * sine + odd * cosine if second_kind else even * cosine - odd * sine
    return wave * torch.rsqrt(math.pi / 2 * x)


def bessel_j0(x: Tensor) -> Tensor:
    """Bessel function of order 0: its integral, or the asymptotic series above 25.

    Differs by about 1e-6 in float32. Memory of 64 copies of the input.
    """
    size = as_float(x).abs()
    near = torch.cos(size.unsqueeze(-1) * half_circle(size).sin()).mean(-1)
    return torch.where(size > 25, far_wave(0, size.clamp(min=25), second_kind=False), near)


def bessel_j1(x: Tensor) -> Tensor:
    """Bessel function of order 1: its integral, or the asymptotic series above 25.

    Differs by about 1e-6 in float32. Memory of 64 copies of the input.
    """
    x = as_float(x)
    angle = half_circle(x)
    near = (torch.sin(x.unsqueeze(-1) * angle.sin()) * angle.sin()).mean(-1)
    far = far_wave(1, x.abs().clamp(min=25), second_kind=False) * torch.sign(x)
    return torch.where(x.abs() > 25, far, near)


def neumann_weights(angle: Tensor) -> Tensor:
    """The sum of `(-1)^k cos(2 k angle) / k` for k up to 24: Neumann's series in functions of even order."""
    k = torch.arange(1, 25, device=angle.device).to(angle.dtype)
    sign = 1 - 2 * (k % 2)
    return (torch.cos(2 * angle.unsqueeze(-1) * k) * sign / k).sum(-1)


def bessel_y0(x: Tensor) -> Tensor:
    """Bessel function of the second kind of order 0: Neumann's series, or the asymptotic series above 25.

    Differs by about 1e-6 in float32. Memory of 64 copies of the input.
    """
    x = as_float(x)
    angle = half_circle(x)
    sum_of_even = (torch.cos(x.unsqueeze(-1) * angle.sin()) * neumann_weights(angle)).mean(-1)
    logarithm = (x / 2).log() + 0.5772156649015329  # Euler's constant
    near = 2 / math.pi * logarithm * bessel_j0(x) - 4 / math.pi * sum_of_even
    return torch.where(x > 25, far_wave(0, x.clamp(min=25), second_kind=True), near)


def bessel_y1(x: Tensor) -> Tensor:
    """Bessel function of the second kind of order 1: the derivative of `bessel_y0`, term by term.

    Differs by about 1e-6 in float32. Memory of 64 copies of the input.
    """
    x = as_float(x)
    angle = half_circle(x)
    wave = torch.sin(x.unsqueeze(-1) * angle.sin()) * angle.sin()
    sum_of_even = (wave * neumann_weights(angle)).mean(-1)
    logarithm = (x / 2).log() + 0.5772156649015329
    near = logarithm * bessel_j1(x) - bessel_j0(x) / x - 2 * sum_of_even
    return torch.where(x > 25, far_wave(1, x.clamp(min=25), second_kind=True), near * 2 / math.pi)


def scaled_k(n: int, x: Tensor) -> Tensor:
    """`exp(x)` times the modified Bessel function of the second kind of order 0 or 1.

    The integral of `exp(-x (cosh t - 1)) cosh(n t)` over positive t, as far as it is above 1e-17.
    """
    end = 2 * torch.asinh(torch.sqrt(20 / x))
    part = torch.arange(65, device=x.device).to(x.dtype) / 64
    rise = 2 * torch.sinh(end.unsqueeze(-1) * part / 2) ** 2  # cosh t - 1, without cancellation
    height = torch.exp(-x.unsqueeze(-1) * rise) * (1 + n * rise)
    value = (height.sum(-1) - 0.5) * end / 64
    value = torch.where(x == 0, torch.inf, value)
    return torch.where(x < 0, torch.nan, value)


def scaled_modified_bessel_k0(x: Tensor) -> Tensor:
    """Modified Bessel function of the second kind of order 0, scaled by `exp(x)`: its integral.

    Differs by about 1e-6 relatively in float32. Memory of 65 copies of the input.
    """
    return scaled_k(0, as_float(x))


def scaled_modified_bessel_k1(x: Tensor) -> Tensor:
    """Modified Bessel function of the second kind of order 1, scaled by `exp(x)`: its integral.

    Differs by about 1e-6 relatively in float32. Memory of 65 copies of the input.
    """
    return scaled_k(1, as_float(x))


def modified_bessel_k0(x: Tensor) -> Tensor:
    """Modified Bessel function of the second kind of order 0, by the scaled one.

    Differs by about 1e-6 relatively in float32. Memory of 65 copies of the input.
    """
    return scaled_k(0, as_float(x)) * torch.exp(-as_float(x))


def modified_bessel_k1(x: Tensor) -> Tensor:
    """Modified Bessel function of the second kind of order 1, by the scaled one.

    Differs by about 1e-6 relatively in float32. Memory of 65 copies of the input.
    """
    return scaled_k(1, as_float(x)) * torch.exp(-as_float(x))


def spherical_bessel_j0(x: Tensor) -> Tensor:
    """`sin(x) / x`, and its series near zero.

    Rounding as in torch.
    """
    x = as_float(x)
    ratio = torch.sin(x) / torch.where(x == 0, 1, x)
    return torch.where(x.abs() < 1e-3, 1 - x * x / 6, ratio)


SIZES = ((3, 5), (7, 9), (4, 2))
NEAR, WIDE, POSITIVE = uniform(-6, 6, *SIZES), uniform(-80, 80, *SIZES), uniform(0.01, 60, *SIZES)
ENTRIES = (
    Decomposition(
        (aten.i0.default, aten.special_modified_bessel_i0.default),
        i0,
        (
            example(torch.i0, NEAR),
            example(torch.special.modified_bessel_i0, uniform(-20, 20, *SIZES)),
        ),
        reaches=("prims::bessel_i0.default",),
    ),
    Decomposition(
        (aten.special_i0e.default,),
        i0e,
        (example(torch.special.i0e, NEAR), example(torch.special.i0e, uniform(200, 900, *SIZES))),
        reaches=("prims::bessel_i0e.default",),
    ),
    Decomposition(
        (aten.special_i1.default, aten.special_modified_bessel_i1.default),
        i1,
        (
            example(torch.special.i1, NEAR),
            example(torch.special.modified_bessel_i1, uniform(-20, 20, *SIZES)),
        ),
        reaches=("prims::bessel_i1.default",),
    ),
    Decomposition(
        (aten.special_i1e.default,),
        i1e,
        (example(torch.special.i1e, NEAR), example(torch.special.i1e, uniform(-900, -200, *SIZES))),
        reaches=("prims::bessel_i1e.default",),
    ),
    Decomposition(
        (aten.special_bessel_j0.default,),
        bessel_j0,
        (example(torch.special.bessel_j0, NEAR), example(torch.special.bessel_j0, WIDE)),
        reaches=("prims::bessel_j0.default",),
    ),
    Decomposition(
        (aten.special_bessel_j1.default,),
        bessel_j1,
        (example(torch.special.bessel_j1, NEAR), example(torch.special.bessel_j1, WIDE)),
        reaches=("prims::bessel_j1.default",),
    ),
    Decomposition(
        (aten.special_bessel_y0.default,),
        bessel_y0,
        (example(torch.special.bessel_y0, POSITIVE),),
    ),
    Decomposition(
        (aten.special_bessel_y1.default,),
        bessel_y1,
        (example(torch.special.bessel_y1, POSITIVE),),
    ),
    Decomposition(
        (aten.special_modified_bessel_k0.default,),
        modified_bessel_k0,
        (example(torch.special.modified_bessel_k0, uniform(0.01, 20, *SIZES)),),
        limits="Inexact below 1e-6.",
    ),
    Decomposition(
        (aten.special_modified_bessel_k1.default,),
        modified_bessel_k1,
        (example(torch.special.modified_bessel_k1, uniform(0.01, 20, *SIZES)),),
        limits="Inexact below 1e-6.",
    ),
    Decomposition(
        (aten.special_scaled_modified_bessel_k0.default,),
        scaled_modified_bessel_k0,
        (example(torch.special.scaled_modified_bessel_k0, POSITIVE),),
        limits="Inexact below 1e-6.",
    ),
    Decomposition(
        (aten.special_scaled_modified_bessel_k1.default,),
        scaled_modified_bessel_k1,
        (example(torch.special.scaled_modified_bessel_k1, POSITIVE),),
        limits="Inexact below 1e-6.",
    ),
    Decomposition(
        (aten.special_spherical_bessel_j0.default,),
        spherical_bessel_j0,
        (example(torch.special.spherical_bessel_j0, WIDE),),
        reaches=("prims::spherical_bessel_j0.default",),
    ),
)
