"""Pooling, resampling and batch statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor

from onnx_debug.session.fixes.operators.catalogue.no_kernel import in_float32
from onnx_debug.session.fixes.operators.decomposition import Decomposition, example
from onnx_debug.session.fixes.operators.samples import normal, uniform
from onnx_debug.torch_private.operators import aten


def bounds(size: int, out: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where each of `out` windows over `size` places begins and ends."""
    window = torch.arange(out, device=device)
    return window * size // out, ((window + 1) * size + out - 1) // out


def windows(size: int, out: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The places in each window, a row for each, and which of them count: windows differ in width."""
    begin, end = bounds(size, out, device)
    width = size // out + 2 if size % out else size // out
    places = begin[:, None] + torch.arange(width, device=device)
    return places.clamp(max=size - 1), places < end[:, None]


def adaptive_max_pool(x: Tensor, output_size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The largest value of each window, and its place, with all windows gathered beside each other.

    Exact; NaN is not followed. Memory of about the input, more where windows overlap.
    """
    rank = len(output_size)
    sizes = x.shape[-rank:]
    place = torch.zeros([1] * (2 * rank), dtype=torch.int64, device=x.device)
    counts = torch.ones_like(place, dtype=torch.bool)
    for axis, (size, out) in enumerate(zip(sizes, output_size, strict=True)):
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = out, -1
        places, inside = windows(size, out, x.device)
        place, counts = place * size + places.reshape(shape), counts & inside.reshape(shape)
    place, counts = place.flatten(rank), counts.flatten(rank)
    flat = x.flatten(-rank)
    found = flat.index_select(-1, place.reshape(-1)).reshape((*flat.shape[:-1], *place.shape))
    value, which = torch.where(counts, found, -torch.inf).max(-1, keepdim=True)
    index = place.expand(found.shape).gather(-1, which)
    return value.squeeze(-1), index.squeeze(-1)


def adaptive_avg_pool3d(x: Tensor, output_size: Sequence[int]) -> Tensor:
    """The mean of each window, as a product with a matrix of weights for each axis.

    Rounding as in any mean.
    """
    for axis, out in zip((-3, -2, -1), output_size, strict=True):
        size = x.shape[axis]
        begin, end = bounds(size, out, x.device)
        places = torch.arange(size, device=x.device)
        inside = (places >= begin[:, None]) & (places < end[:, None])
        weight = inside.to(x.dtype) / (end - begin).to(x.dtype)[:, None]
        x = (x.movedim(axis, -1) @ weight.mT).movedim(-1, axis)
    return x


def avg_pool2d(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Average pooling with a divisor of its own, as means over an input padded by hand, times a constant.

    The translation in torch 2.13 takes no notice of the divisor. Other calls are left alone, but for
    float64, for which ONNX Runtime has no kernel: it is computed in float32. Rounding as in torch.
    """
    if divisor_override is None:
        rest = (stride, padding, ceil_mode, count_include_pad, divisor_override)
        return in_float32(torch.ops.aten.avg_pool2d.default, x, kernel_size, *rest)
    kernel = [*kernel_size] * (2 // len(kernel_size))
    step = [*(stride or kernel)] * (2 // len(stride or kernel))
    before = [*padding] * (2 // len(padding))
    border: list[int] = []
    for axis in (1, 0):
        size = x.shape[axis - 2]
        last = size + 2 * before[axis] - kernel[axis]
        out = (-(-last // step[axis]) if ceil_mode else last // step[axis]) + 1
        if (out - 1) * step[axis] >= size + before[axis]:  # a window must not begin in the padding
            out -= 1
        missing = (out - 1) * step[axis] + kernel[axis] - size - 2 * before[axis]
        border += [before[axis], before[axis] + max(missing, 0)]
    means = F.avg_pool2d(F.pad(x, border), kernel, step)
    return means * (kernel[0] * kernel[1] / divisor_override)


def triangle(x: Tensor) -> Tensor:
    """The weights of linear interpolation."""
    return (1 - x.abs()).clamp(min=0)


def cubic(x: Tensor) -> Tensor:
    """The weights of cubic interpolation with torch's coefficient for smooth resampling, -0.5."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))


def smooth_weights(
    x: Tensor,
    axis: int,
    out: int,
    step: float,
    kernel: Callable[[Tensor], Tensor],
) -> Tensor:
    """How much each place of an axis counts for each of `out` places that are `step` apart."""
    target = torch.arange(out, device=x.device).to(x.dtype)[:, None]
    source = torch.arange(x.shape[axis], device=x.device).to(x.dtype)
    weight = kernel((source + 0.5 - (target + 0.5) * step) / max(step, 1))
    return weight / weight.sum(-1, keepdim=True)


def smooth(
    x: Tensor,
    output_size: Sequence[int],
    align_corners: bool,
    scales: Sequence[float | None],
    kernel: Callable[[Tensor], Tensor],
) -> Tensor:
    """Resampling with antialiasing, as a product with a matrix of weights for each axis."""
    for axis, out, scale in zip((-2, -1), output_size, scales, strict=True):
        size = x.shape[axis]
        step = 1 / scale if scale else size / out
        if align_corners:
            step = (size - 1) / (out - 1) if out > 1 else 0.0
        weight = smooth_weights(x, axis, out, step, kernel)
        x = (x.movedim(axis, -1) @ weight.mT).movedim(-1, axis)
    return x


def size_and_scales(
    x: Tensor, output_size: Sequence[int] | None, scale_factors: Sequence[float] | None
) -> tuple[Sequence[int], Sequence[float | None]]:
    """Both, from whichever was given."""
    if output_size is not None:
        return output_size, (None, None)
    factors = scale_factors or (1.0, 1.0)
    return [
        int(x.shape[axis] * factor) for axis, factor in zip((-2, -1), factors, strict=True)
    ], factors


def upsample_bilinear2d_aa(
    x: Tensor,
    output_size: Sequence[int] | None,
    align_corners: bool,
    scale_factors: Sequence[float] | None = None,
) -> Tensor:
    """Antialiased linear resampling, as a product with a matrix of weights for each axis.

    The translation in torch 2.13 gives other numbers. Rounding as in torch.
    """
    sizes, scales = size_and_scales(x, output_size, scale_factors)
    return smooth(x, sizes, align_corners, scales, triangle)


def upsample_bicubic2d_aa(
    x: Tensor,
    output_size: Sequence[int] | None,
    align_corners: bool,
    scale_factors: Sequence[float] | None = None,
) -> Tensor:
    """Antialiased cubic resampling, as a product with a matrix of weights for each axis.

    Rounding as in torch.
    """
    sizes, scales = size_and_scales(x, output_size, scale_factors)
    return smooth(x, sizes, align_corners, scales, cubic)


def normalized(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The output of batch normalization, mean and variance of each channel, and the inverse of its deviation."""
    others = [axis for axis in range(x.dim()) if axis != 1]
    shape = [1] * x.dim()
    shape[1] = -1
    mean = x.mean(others)
    centred = x - mean.reshape(shape)
    variance = (centred * centred).mean(others)
    inverse = torch.rsqrt(variance + eps)
    y = centred * inverse.reshape(shape)
    if weight is not None:
        y = y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape), mean, variance, inverse


def batch_norm_no_stats(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch normalization by the statistics of the batch.

    The translation in torch 2.13 normalizes by something else. Rounding as in torch.
    """
    del training, momentum
    y, mean, _, inverse = normalized(x, weight, bias, eps)
    return y, mean, inverse


def batch_norm_functional(  # noqa: PLR0913, PLR0917 - the operator's arguments
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Batch normalization by the statistics of the batch, and the running ones after it.

    Left alone outside of training. Rounding as in torch. The exported file does not remember its
    running statistics from call to call: `model.eval()` is what most exports want.
    """
    if not training:
        return NotImplemented
    y, mean, variance, inverse = normalized(x, weight, bias, eps)
    count = x.numel() // x.shape[1]
    unbiased = variance * (count / (count - 1))
    new_mean = running_mean * (1 - momentum) + mean * momentum
    new_var = running_var * (1 - momentum) + unbiased * momentum
    return y, mean, inverse, new_mean, new_var


CUBES = normal((2, 3, 5, 6, 7), (4, 3, 5, 6, 7), (3, 3, 5, 6, 7))
IMAGES = normal((2, 3, 7, 9), (5, 3, 7, 9), (3, 3, 7, 9))
ROWS = normal((2, 3, 7), (5, 3, 7), (3, 3, 7))
BATCHES = normal((2, 3, 7, 9), (5, 3, 4, 9), (3, 3, 8, 9))
MEANS, VARIANCES = normal((3,), (3,), (3,)), uniform(0.5, 2, (3,), (3,), (3,))
ENTRIES = (
    Decomposition(
        (
            aten.adaptive_max_pool1d.default,
            aten.adaptive_max_pool2d.default,
            aten.adaptive_max_pool3d.default,
        ),
        adaptive_max_pool,
        (
            example(lambda x: F.adaptive_max_pool1d(x, 4, return_indices=True), ROWS),
            example(lambda x: F.adaptive_max_pool2d(x, (3, 4), return_indices=True), IMAGES),
            example(lambda x: F.adaptive_max_pool3d(x, (2, 2, 3)), CUBES),
        ),
    ),
    Decomposition(
        (aten.adaptive_avg_pool3d.default, aten._adaptive_avg_pool3d.default),
        adaptive_avg_pool3d,
        (
            example(lambda x: F.adaptive_avg_pool3d(x, (2, 2, 3)), CUBES),
            example(lambda x: F.interpolate(x, size=(3, 4, 4), mode="area"), CUBES),
        ),
    ),
    Decomposition(
        (aten.avg_pool2d.default,),
        avg_pool2d,
        (
            example(
                lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True, divisor_override=2),
                normal((2, 3, 8, 9), (5, 3, 8, 9), (3, 3, 8, 9)),
            ),
            example(lambda x: F.avg_pool2d(x, (2, 3), (3, 2), (1, 0), True, True, 5), IMAGES),
        ),
    ),
    Decomposition(
        (aten._upsample_bilinear2d_aa.vec,),
        upsample_bilinear2d_aa,
        (
            example(lambda x: F.interpolate(x, (4, 13), mode="bilinear", antialias=True), IMAGES),
            example(
                lambda x: F.interpolate(
                    x, (4, 5), mode="bilinear", antialias=True, align_corners=True
                ),
                IMAGES,
            ),
            example(
                lambda x: F.interpolate(x, scale_factor=0.4, mode="bilinear", antialias=True),
                IMAGES,
            ),
        ),
        reaches=("aten::_upsample_bilinear2d_aa.default",),
    ),
    Decomposition(
        (aten._upsample_bicubic2d_aa.vec,),
        upsample_bicubic2d_aa,
        (
            example(lambda x: F.interpolate(x, (4, 13), mode="bicubic", antialias=True), IMAGES),
            example(lambda x: F.interpolate(x, (3, 4), mode="bicubic", antialias=True), IMAGES),
        ),
        reaches=("aten::_upsample_bicubic2d_aa.default",),
    ),
    Decomposition(
        (aten._native_batch_norm_legit.no_stats,),
        batch_norm_no_stats,
        (
            example(lambda x: F.batch_norm(x, None, None, training=True), BATCHES),
            example(
                lambda x, weight, bias: F.batch_norm(x, None, None, weight, bias, training=True),
                BATCHES,
                MEANS,
                VARIANCES,
            ),
        ),
        reaches=("aten::batch_norm.default",),
    ),
    Decomposition(
        (aten._native_batch_norm_legit_functional.default,),
        batch_norm_functional,
        (
            example(
                lambda x, mean, var: F.batch_norm(x, mean.clone(), var.clone(), training=True),
                BATCHES,
                MEANS,
                VARIANCES,
            ),
            example(
                lambda x, mean, var: aten._native_batch_norm_legit_functional(
                    x, None, None, mean, var, True, 0.1, 1e-5
                ),
                BATCHES,
                MEANS,
                VARIANCES,
            ),
        ),
        reaches=("aten::batch_norm.default",),
    ),
)
