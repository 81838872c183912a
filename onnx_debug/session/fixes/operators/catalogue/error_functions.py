"""The error function's relatives: scaled, inverted, and as the normal distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from onnx_debug.session.fixes.operators.catalogue.gamma import as_float
from onnx_debug.session.fixes.operators.decomposition import Decomposition, example
from onnx_debug.session.fixes.operators.samples import uniform
from onnx_debug.torch_private.operators import aten


def erfcx(x: Tensor) -> Tensor:
    """`exp(x * x) * erfc(x)` without overflow, by the trapezoidal rule.

    Torch 2.13 multiplies the two, which is wrong from about 3 on. Differs by about 1e-7 relatively
    in float32. Memory of 14 copies of the input.
    """
    x = as_float(x)
    size = x.abs()
    step = 0.5
    points = (torch.arange(14, device=x.device).to(x.dtype) + 0.5) ** 2 * (step * step)
    # The integral of exp(-t * t) / (x * x + t * t); its pole comes near the real line for small x.
    total = (torch.exp(-points) / ((size * size).unsqueeze(-1) + points)).sum(-1)
    close = size.clamp(max=6)
    pole = 2 * torch.exp(close * close) / (1 + torch.exp(close * (2 * math.pi / step)))
    value = total * size * (2 * step / math.pi) + pole
    return torch.where(x < 0, 2 * torch.exp(x * x) - value, value)


def log_ndtr(x: Tensor) -> Tensor:
    """The logarithm of the normal distribution function, by `erfcx` in the lower tail.

    Torch 2.13 takes the logarithm of a number that underflows, which is -inf from about -5 on.
    Differs by about 1e-6 relatively in float32.
    """
    x = as_float(x)
    low = x < -1
    tail = torch.where(low, x, -1)
    lower = torch.log(erfcx(-tail * math.sqrt(0.5)) / 2) - tail * tail / 2
    upper = torch.log(1 - torch.erfc(torch.where(low, 0, x) * math.sqrt(0.5)) / 2)
    return torch.where(low, lower, upper)


def erfc_inverse(p: Tensor) -> Tensor:
    """The y at which `erfc(y)` is p, for p from 0 to 1: a formula of Winitzki's, then Newton on logarithms."""
    logarithm = torch.log(p * (2 - p))
    half = 2 / (math.pi * 0.147) + logarithm / 2
    y = torch.sqrt((torch.sqrt(half * half - logarithm / 0.147) - half).clamp(min=0))
    for _ in range(2):
        scaled = erfcx(y)
        y = y + (scaled.log() - y * y - p.log()) * scaled * (math.sqrt(math.pi) / 2)
    return torch.where(p == 0, torch.inf, y)


def erfinv(x: Tensor) -> Tensor:
    """The inverse of the error function: Newton's method, on `erf` near zero and on `log(erfc)` elsewhere.

    Differs by about 1e-6 relatively in float32.
    """
    x = as_float(x)
    size = x.abs()
    central = size.clamp(max=0.5)
    square = central * central * math.pi
    y = central * (math.sqrt(math.pi) / 2) * (1 + square / 12 * (1 + square * 7 / 40))
    for _ in range(2):
        y = y + (central - torch.erf(y)) * torch.exp(y * y) * (math.sqrt(math.pi) / 2)
    outer = erfc_inverse(1 - torch.where(size > 0.5, size, 0.5))
    return torch.where(size > 0.5, outer, y) * torch.sign(x)


def ndtri(p: Tensor) -> Tensor:
    """The inverse of the normal distribution function, by inverting `erfc` on the smaller side.

    Differs by about 1e-6 in float32.
    """
    p = as_float(p)
    y = erfc_inverse(2 * torch.minimum(p, 1 - p)) * math.sqrt(2)
    return torch.where(p < 0.5, -y, y)


SIZES = ((3, 5), (7, 9), (4, 2))
ENTRIES = (
    Decomposition(
        (aten.special_erfcx.default,),
        erfcx,
        (
            example(torch.special.erfcx, uniform(-3, 9, *SIZES)),
            example(torch.special.erfcx, uniform(0, 900, *SIZES)),
            example(torch.special.erfcx, uniform(0, 9, *SIZES, dtype=torch.float64)),
        ),
    ),
    Decomposition(
        (aten.special_log_ndtr.default,),
        log_ndtr,
        (
            example(torch.special.log_ndtr, uniform(-5, 3, *SIZES)),
            example(torch.special.log_ndtr, uniform(-90, -3, *SIZES)),
        ),
    ),
    Decomposition(
        (aten.erfinv.default,),
        erfinv,
        (
            example(torch.erfinv, uniform(-1, 1, *SIZES)),
            example(torch.erfinv, uniform(0.9999, 1, *SIZES)),
        ),
        reaches=("prims::erf_inv.default",),
    ),
    Decomposition(
        (aten.special_ndtri.default,),
        ndtri,
        (
            example(torch.special.ndtri, uniform(0.001, 0.999, *SIZES)),
            example(torch.special.ndtri, uniform(1e-9, 1e-3, *SIZES), tolerance=3e-5),
        ),
        reaches=("prims::ndtri.default",),
    ),
)
