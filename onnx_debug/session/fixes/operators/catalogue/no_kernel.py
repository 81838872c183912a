"""Operators that torch exports and ONNX Runtime has no kernel for: most of them on float64, some on integers.

Where a formula in operators with a kernel is at hand, float64 keeps its accuracy, up to the numbers
in the formula, which the exporter writes in single precision. Elsewhere it is computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor

from onnx_debug.session.fixes.operators.decomposition import Decomposition, Example, example
from onnx_debug.session.fixes.operators.samples import changed, normal, uniform, whole
from onnx_debug.torch_private.operators import aten


def in_float32(operator: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """The operator in float32, between two casts.

    Differs by about 1e-7 relatively, which is more than float64 promises. Other types are left
    alone.
    """
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    if not any(tensor.dtype == torch.float64 for tensor in tensors):
        return NotImplemented
    single = [arg.float() if isinstance(arg, Tensor) else arg for arg in args]
    return operator(*single, **kwargs).double()


def erf(x: Tensor) -> Tensor:
    """The error function on float64, by its integral over a sine.

    Differs by about 1e-8. Other types are left alone. Memory of 25 copies of the input.
    """
    if x.dtype != torch.float64:
        return NotImplemented
    k = torch.arange(1, 26, device=x.device).to(x.dtype)
    weight = torch.exp(-k * k / 16) / k  # the trapezoidal rule with steps of a quarter
    near = x.clamp(-6, 6)
    return (near / 4 + (torch.sin(near.unsqueeze(-1) * k / 2) * weight).sum(-1)) * (2 / math.pi)


def erfc(x: Tensor) -> Tensor:
    """One minus the error function on float64.

    Differs by about 1e-8 absolutely. Other types are left alone.
    """
    return 1 - erf(x) if x.dtype == torch.float64 else NotImplemented


def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """GELU on float64, by the error function's integral.

    Differs by about 1e-8. Other types and the approximation are left alone.
    """
    if x.dtype != torch.float64 or approximate != "none":
        return NotImplemented
    return x * (1 + erf(x * math.sqrt(0.5))) / 2


def tan(x: Tensor) -> Tensor:
    """Tangent on float64, as sine over cosine.

    Rounding as in torch. Other types are left alone.
    """
    return x.sin() / x.cos() if x.dtype == torch.float64 else NotImplemented


def sinh(x: Tensor) -> Tensor:
    """Hyperbolic sine on float64, by two exponentials.

    Rounding as in torch, absolutely. Other types are left alone.
    """
    return (x.exp() - (-x).exp()) / 2 if x.dtype == torch.float64 else NotImplemented


def cosh(x: Tensor) -> Tensor:
    """Hyperbolic cosine on float64, by two exponentials.

    Rounding as in torch. Other types are left alone.
    """
    return (x.exp() + (-x).exp()) / 2 if x.dtype == torch.float64 else NotImplemented


def asinh(x: Tensor) -> Tensor:
    """Inverse hyperbolic sine on float64, by a logarithm.

    Rounding as in torch, absolutely. Other types are left alone.
    """
    if x.dtype != torch.float64:
        return NotImplemented
    size = x.abs()
    return torch.log(size + torch.sqrt(size * size + 1)) * torch.sign(x)


def acosh(x: Tensor) -> Tensor:
    """Inverse hyperbolic cosine on float64, by a logarithm.

    Rounding as in torch, absolutely. Other types are left alone.
    """
    if x.dtype != torch.float64:
        return NotImplemented
    return torch.log(x + torch.sqrt(x * x - 1))


def atanh(x: Tensor) -> Tensor:
    """Inverse hyperbolic tangent on float64, by a logarithm.

    Rounding as in torch, absolutely. Other types are left alone.
    """
    return torch.log((1 + x) / (1 - x)) / 2 if x.dtype == torch.float64 else NotImplemented


def softplus(x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """Softplus on float64, by a logarithm that does not overflow.

    Rounding as in torch. Other types are left alone.
    """
    if x.dtype != torch.float64:
        return NotImplemented
    z = x * beta
    smooth = z.clamp(min=0) + torch.log(1 + torch.exp(-z.abs()))
    return torch.where(z > threshold, x, smooth / beta)


def mish(x: Tensor) -> Tensor:
    """Mish on float64, by softplus.

    Rounding as in torch. Other types are left alone.
    """
    return x * softplus(x).tanh() if x.dtype == torch.float64 else NotImplemented


def elu(x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Tensor:
    """ELU and SELU on float64, by their definition.

    Rounding as in torch. Other types are left alone.
    """
    if x.dtype != torch.float64:
        return NotImplemented
    low = alpha * ((x.clamp(max=0) * input_scale).exp() - 1)
    return torch.where(x > 0, x, low) * scale


def selu(x: Tensor) -> Tensor:
    """SELU on float64, by its definition.

    Differs by about 1e-8. Other types are left alone.
    """
    return elu(x, 1.6732632423543772, 1.0507009873554805)


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Leaky ReLU on float64, by its definition.

    Differs by about 1e-8. Other types are left alone.
    """
    if x.dtype != torch.float64:
        return NotImplemented
    return torch.where(x > 0, x, x * negative_slope)


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """PReLU on float64, by its definition.

    Exact. Other types are left alone.
    """
    if x.dtype != torch.float64:
        return NotImplemented
    if x.dim() > 1:
        weight = weight.reshape(-1, *[1] * (x.dim() - 2))
    return torch.where(x > 0, x, x * weight)


def hardsigmoid(x: Tensor) -> Tensor:
    """Hard sigmoid on float64, by its definition.

    Exact. Other types are left alone.
    """
    return (x + 3).clamp(0, 6) / 6 if x.dtype == torch.float64 else NotImplemented


def hardswish(x: Tensor) -> Tensor:
    """Hard swish on float64, by its definition.

    Exact. Other types are left alone.
    """
    return x * (x + 3).clamp(0, 6) / 6 if x.dtype == torch.float64 else NotImplemented


def nonzero(x: Tensor) -> Tensor:
    """Positions that are not zero, of a mask.

    Exact. Masks themselves are left alone.
    """
    return NotImplemented if x.dtype == torch.bool else (x != 0).nonzero()


def relu(x: Tensor) -> Tensor:
    """ReLU on integers, as a maximum.

    Exact. Other types are left alone.
    """
    return NotImplemented if x.is_floating_point() else torch.maximum(x, torch.zeros_like(x))


def unchanged(x: Tensor) -> Tensor:
    """Rounding of integers, which changes nothing.

    Exact. Other types are left alone.
    """
    return NotImplemented if x.is_floating_point() else x.clone()


def isnan(x: Tensor) -> Tensor:
    """Whether integers are NaN: none is.

    Exact. Other types are left alone.
    """
    return NotImplemented if x.is_floating_point() else torch.zeros_like(x, dtype=torch.bool)


def addmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """A sum and a product of integer matrices, apart.

    Exact. Other types are left alone.
    """
    return NotImplemented if a.is_floating_point() else beta * bias + alpha * torch.mm(a, b)


def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """Addition into places from a source that is larger than the index, which is cut to it.

    Exact. Left alone where the sizes agree: ONNX takes only those.
    """
    if x.dim() == 0 or src.shape == index.shape:
        return NotImplemented
    return torch.scatter_add(x, dim, index, src[tuple(slice(size) for size in index.shape)])


SIZES = ((3, 5), (7, 9), (4, 2))
DOUBLES = normal(*SIZES, dtype=torch.float64)
UNITS = uniform(-1, 1, *SIZES, dtype=torch.float64)
IMAGES = normal((2, 4, 7, 9), (5, 4, 7, 9), (3, 4, 7, 9), dtype=torch.float64)
KERNELS = normal(*((6, 4, 3, 2),) * 3, dtype=torch.float64)
NUMBERS = whole(-9, 9, *SIZES)


def of(call: Callable[..., Any], samples: Any) -> tuple[Example, ...]:
    """One example with one argument."""
    return (example(call, samples, tolerance=1e-7),)


BY_FORMULA = (
    ((aten.erf.default,), erf, of(lambda x: torch.erf(x * 3), DOUBLES)),
    ((aten.erfc.default,), erfc, of(torch.erfc, DOUBLES)),
    ((aten.gelu.default,), gelu, of(F.gelu, DOUBLES)),
    ((aten.tan.default,), tan, of(torch.tan, UNITS)),
    ((aten.sinh.default,), sinh, of(torch.sinh, DOUBLES)),
    ((aten.cosh.default,), cosh, of(torch.cosh, DOUBLES)),
    ((aten.asinh.default,), asinh, of(torch.asinh, DOUBLES)),
    ((aten.acosh.default,), acosh, of(torch.acosh, changed(DOUBLES, lambda x: x.abs() + 1))),
    ((aten.atanh.default,), atanh, of(torch.atanh, UNITS)),
    ((aten.softplus.default,), softplus, of(lambda x: F.softplus(x * 20, 2), DOUBLES)),
    ((aten.mish.default,), mish, of(F.mish, DOUBLES)),
    ((aten.elu.default,), elu, of(lambda x: F.elu(x, 0.5), DOUBLES)),
    ((aten.selu.default,), selu, of(F.selu, DOUBLES)),
    ((aten.leaky_relu.default,), leaky_relu, of(F.leaky_relu, DOUBLES)),
    ((aten.hardsigmoid.default,), hardsigmoid, of(lambda x: F.hardsigmoid(x * 3), DOUBLES)),
    ((aten.hardswish.default,), hardswish, of(lambda x: F.hardswish(x * 3), DOUBLES)),
    ((aten.nonzero.default,), nonzero, of(lambda x: x.clamp(min=0).nonzero(), DOUBLES)),
    ((aten.relu.default,), relu, of(F.relu, NUMBERS)),
    (
        (aten.round.default, aten.floor.default, aten.ceil.default, aten.trunc.default),
        unchanged,
        (*of(torch.round, NUMBERS), *of(torch.floor, NUMBERS)),
    ),
    ((aten.isnan.default,), isnan, of(torch.isnan, NUMBERS)),
)
IN_FLOAT32 = (
    (aten.conv1d.default, lambda x: F.conv1d(x[:, :, 0], x[:1, :, 0, :3])),
    (aten.conv2d.default, lambda x: F.conv2d(x, x[:2, :, :3, :3], padding=1)),
    (aten.conv3d.default, lambda x: F.conv3d(x[:, None], x[:1, None, :2, :2, :2])),
    (aten.conv_transpose2d.input, lambda x: F.conv_transpose2d(x, x[:1, :, :3, :3].movedim(0, 1))),
    (aten.adaptive_avg_pool2d.default, lambda x: F.adaptive_avg_pool2d(x, (7, 3))),
    (aten.group_norm.default, lambda x: F.group_norm(x, 2)),
    (aten.instance_norm.default, F.instance_norm),
    (aten.upsample_nearest2d.vec, lambda x: F.interpolate(x, scale_factor=2)),
    (
        aten.upsample_bilinear2d.vec,
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    ),
    (aten.upsample_bicubic2d.vec, lambda x: F.interpolate(x, scale_factor=2, mode="bicubic")),
    (aten.asin.default, lambda x: torch.asin(x / 9)),
    (aten.acos.default, lambda x: torch.acos(x / 9)),
    (aten.atan.default, torch.atan),
    (aten.atan2.default, lambda x: torch.atan2(x, 1 - x)),
)
ENTRIES = (
    *(Decomposition(targets, function, examples) for targets, function, examples in BY_FORMULA),
    *(
        Decomposition(
            (target,), partial(in_float32, target), (example(call, IMAGES, tolerance=1e-6),)
        )
        for target, call in IN_FLOAT32
    ),
    Decomposition(
        (aten.prelu.default,),
        prelu,
        (example(F.prelu, IMAGES, normal((4,), (4,), (4,), dtype=torch.float64)),),
    ),
    Decomposition(
        (aten.addmm.default,),
        addmm,
        (
            example(
                torch.addmm,
                whole(-9, 9, (4,), (5,), (2,)),
                whole(-9, 9, (3, 6), (2, 6), (5, 6)),
                whole(-9, 9, (6, 4), (6, 5), (6, 2)),
            ),
        ),
    ),
    Decomposition(
        (aten.scatter_add.default,),
        scatter_add,
        (
            example(
                lambda x, index, src: x.scatter_add(0, index, src),
                normal((5, 3), (6, 3), (7, 3)),
                whole(0, 5, (2, 3), (4, 3), (3, 3)),
                normal((5, 3), (6, 3), (7, 3)),
            ),
        ),
    ),
)
