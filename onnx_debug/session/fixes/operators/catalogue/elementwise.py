"""Elementwise operators that ONNX does not have."""

from __future__ import annotations

import torch
from torch import Tensor

from onnx_debug.session.fixes.operators.catalogue.gamma import as_float
from onnx_debug.session.fixes.operators.decomposition import Decomposition, example
from onnx_debug.session.fixes.operators.samples import changed, normal, whole, with_nans
from onnx_debug.torch_private.operators import aten


def hypot(x: Tensor, y: Tensor) -> Tensor:
    """The root of the sum of two squares, scaled so that no square overflows.

    Rounding as in torch.
    """
    x, y = x.abs(), y.abs()
    large, small = torch.maximum(x, y), torch.minimum(x, y)
    ratio = small / torch.where(large == 0, 1, large)
    return large * torch.sqrt(1 + ratio * ratio)


def signbit(x: Tensor) -> Tensor:
    """Whether a number is negative; the sign of zero shows in its inverse.

    Exact, but for the sign of NaN.
    """
    if not x.is_floating_point():
        return x < 0
    return (x < 0) | ((x == 0) & (1 / x < 0))


def copysign(x: Tensor, y: Tensor) -> Tensor:
    """The size of one number with the sign of another, of zero too.

    Exact, but for the sign of NaN.
    """
    size = as_float(x).abs()
    return torch.where(signbit(y), -size, size)


def copysign_scalar(x: Tensor, y: float) -> Tensor:
    """The size of a number with the sign of a constant.

    Exact.
    """
    size = as_float(x).abs()
    return -size if str(float(y)).startswith("-") else size


def fmax(x: Tensor, y: Tensor) -> Tensor:
    """The larger of two numbers; the other one where one is NaN.

    Exact.
    """
    x, y = torch.broadcast_tensors(x, y)
    return torch.where((x >= y) | (y != y), x, y)  # noqa: PLR0124 - NaN differs from itself


def fmin(x: Tensor, y: Tensor) -> Tensor:
    """The smaller of two numbers; the other one where one is NaN.

    Exact.
    """
    x, y = torch.broadcast_tensors(x, y)
    return torch.where((x <= y) | (y != y), x, y)  # noqa: PLR0124 - NaN differs from itself


def frexp(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mantissa and exponent, by a logarithm that is put right where it was rounded.

    Exact for normal numbers.
    """
    size = x.abs()
    exponent = torch.log2(torch.where(size == 0, 1, size)).floor() + 1
    rough = size * torch.exp2(-exponent)
    exponent = exponent + (rough >= 1).to(x.dtype) - ((rough < 0.5) & (size > 0)).to(x.dtype)
    mantissa = x * torch.exp2(-exponent)
    zero = size == 0
    return torch.where(zero, 0, mantissa), torch.where(zero, 0, exponent).to(torch.int32)


def rrelu(
    x: Tensor,
    lower: float = 0.125,
    upper: float = 1 / 3,
    training: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The leaky ReLU that `rrelu` is outside of training.

    Exact. Left alone in training, where it draws random numbers.
    """
    del generator
    return NotImplemented if training else torch.where(x >= 0, x, x * ((lower + upper) / 2))


def rrelu_functional(
    x: Tensor,
    noise: Tensor,
    lower: float = 0.125,
    upper: float = 1 / 3,
    training: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """The leaky ReLU that `rrelu` is outside of training, beside its unused noise.

    Exact. Left alone in training, where it draws random numbers.
    """
    if training:
        return NotImplemented
    return rrelu(x, lower, upper, training, generator), torch.zeros_like(noise)


SIZES = ((3, 5), (7, 9), (4, 2))
SIGNED_ZEROS = changed(
    whole(-1, 2, *SIZES, dtype=torch.float32), lambda x: torch.where(x < 0, -0.0, x)
)
ENTRIES = (
    Decomposition(
        (aten.hypot.default,),
        hypot,
        (
            example(torch.hypot, normal(*SIZES), normal(*SIZES)),
            example(torch.hypot, changed(normal(*SIZES), lambda x: x * 1e30), SIGNED_ZEROS),
        ),
        reaches=("prims::hypot.default",),
    ),
    Decomposition(
        (aten.copysign.Tensor,),
        copysign,
        (
            example(torch.copysign, normal(*SIZES), normal(*SIZES)),
            example(torch.copysign, whole(-9, 9, *SIZES), SIGNED_ZEROS),
        ),
        reaches=("prims::signbit.default",),
    ),
    Decomposition(
        (aten.copysign.Scalar,),
        copysign_scalar,
        (example(lambda x: torch.copysign(x, -2.0), normal(*SIZES)),),
        reaches=("prims::signbit.default",),
    ),
    Decomposition(
        (aten.signbit.default,),
        signbit,
        (
            example(torch.signbit, normal(*SIZES)),
            example(torch.signbit, SIGNED_ZEROS),
            example(torch.signbit, whole(-9, 9, *SIZES)),
        ),
        reaches=("prims::signbit.default",),
    ),
    Decomposition(
        (aten.fmax.default,),
        fmax,
        (example(torch.fmax, with_nans(normal(*SIZES)), with_nans(normal(*SIZES))),),
        reaches=("prims::fmax.default",),
    ),
    Decomposition(
        (aten.fmin.default,),
        fmin,
        (example(torch.fmin, with_nans(normal(*SIZES)), with_nans(normal(*SIZES))),),
        reaches=("prims::fmin.default",),
    ),
    Decomposition(
        (aten.frexp.Tensor,),
        frexp,
        (
            example(torch.frexp, changed(normal(*SIZES), lambda x: x * 10)),
            example(torch.frexp, whole(-16, 17, *SIZES, dtype=torch.float32)),
        ),
        reaches=("prims::frexp.default",),
    ),
    Decomposition(
        (aten.rrelu.default,),
        rrelu,
        (example(torch.nn.functional.rrelu, normal(*SIZES)),),
        reaches=("aten::rrelu_with_noise_functional.default",),
    ),
    Decomposition(
        (aten.rrelu_with_noise_functional.default,),
        rrelu_functional,
        (
            example(
                lambda x: aten.rrelu_with_noise_functional(x, torch.zeros_like(x))[0],
                normal(*SIZES),
            ),
        ),
    ),
)
