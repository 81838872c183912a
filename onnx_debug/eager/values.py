"""Further inputs of the same shapes. What the given values look like decides what may be drawn instead of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from onnx_debug.eager.packing import pack, unpack
from onnx_debug.request.case import Inputs


@dataclass(frozen=True)
class FurtherInputs:
    """Inputs to compare on, beside those given.

    Attributes:
        goal: what is tried ("larger batch"): of several with one goal, one that the eager module
            accepts is enough.
        description: how they differ from the given ones ("batch 4 for 2").
        sizes: the new size of each dimension that differs, by the entry of the request
            (`dynamic_shapes['x'][0]`).
        unusual: a size of 1 that the request allows and hardly anybody means, such as an image of
            one pixel: a difference there is told, and no failed export if other sizes agree.
    """

    goal: str
    description: str
    inputs: Inputs
    sizes: Mapping[str, int] = field(default_factory=dict)
    unusual: bool = False


def fresh_values(inputs: Inputs, seed: int, *, scale: float = 1.0) -> Inputs:
    """Inputs of the same nesting, shapes and kinds with other values; strings, numbers and None stay.

    Torch's own random state is not touched.

    Args:
        inputs: the given ones.
        seed: another seed gives other values.
        scale: makes numbers with fractions larger or smaller, or changes their sign, to go beyond
            what was seen; masks and positions stay, and shares (0 to 1) keep their range unless the
            sign changes.

    Raises:
        PackingError: the inputs hold something that cannot be taken apart.
    """
    generator = torch.Generator().manual_seed(seed)
    return replace_tensors(inputs, lambda tensor: fresh_tensor(tensor, generator, scale))


def nudged_values(inputs: Inputs, digits: float = 2.0, floor: float = 0.0) -> Inputs:
    """The inputs with every number that has a fraction changed as rounding may change it; arguments as of `nudged`."""
    generator = torch.Generator().manual_seed(0)
    return replace_tensors(inputs, lambda tensor: nudged(tensor, digits, generator, floor))


def nudged(
    tensor: torch.Tensor, digits: float, generator: torch.Generator, floor: float = 0.0
) -> torch.Tensor:
    """The tensor with every number that has a fraction changed by that many units of its last digit.

    Args:
        tensor: any; whole numbers and truth values stay.
        digits: how many units.
        generator: draws the changes.
        floor: a smaller number changes as if it were this large.
    """
    if not tensor.is_floating_point() or tensor.layout is not torch.strided:
        return tensor
    plain = tensor.detach().cpu().to(torch.float64)
    drawn = torch.randn(plain.shape, generator=generator, dtype=torch.float64)
    by = digits * torch.finfo(tensor.dtype).eps * drawn
    return like(tensor, plain + by * plain.abs().clamp_min(floor))


def replace_tensors(inputs: Inputs, change: Callable[[torch.Tensor], torch.Tensor]) -> Inputs:
    """The inputs with every tensor changed; one that stands in several places is changed once."""
    packed = pack(inputs)
    leaves = [change(leaf) if isinstance(leaf, torch.Tensor) else leaf for leaf in packed.leaves]
    made: Inputs = unpack(packed.template, leaves)
    return made


def fresh_tensor(
    tensor: torch.Tensor, generator: torch.Generator, scale: float = 1.0
) -> torch.Tensor:
    """Other values that the model should take as well as these.

    Positions, lengths and constants stay; masks and flags are shuffled along their last dimension,
    so each row keeps its count; whole numbers are drawn from the range seen, others with the same
    mean, spread and sign. Strides and `requires_grad` stay.
    """
    if tensor.layout is not torch.strided or tensor.is_quantized or not tensor.numel():
        return tensor
    plain = tensor.detach().cpu()
    if plain.is_complex():
        parts = torch.view_as_real(plain.resolve_conj())
        drawn = torch.view_as_complex(
            torch.stack([_numbers(part, generator, scale) for part in parts.unbind(-1)], dim=-1)
        )
    elif is_mask(plain):
        drawn = _shuffled_rows(plain, generator)
    elif plain.is_floating_point():
        drawn = _numbers(plain, generator, scale)
    else:
        drawn = _whole_numbers(plain, generator)
    return like(tensor, drawn)


def like(tensor: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """`values` with the type, device, order of strides and `requires_grad` of `tensor`."""
    twin = (
        torch.empty_like(tensor) if values.shape == tensor.shape else tensor.new_empty(values.shape)
    )
    twin.copy_(values)
    return (
        twin.requires_grad_(tensor.requires_grad)
        if twin.is_floating_point() or twin.is_complex()
        else twin
    )


def looks_like_positions(tensor: torch.Tensor) -> bool:
    """Constants, whole numbers that only grow or only fall along the last dimension, and evenly spaced numbers."""
    wide = tensor.detach().cpu().to(torch.float64)
    if not wide.dim():
        return False
    steps = wide.diff(dim=-1)
    if not tensor.is_floating_point():
        return bool((steps >= 0).all() or (steps <= 0).all())
    return steps.shape[-1] > 1 and bool(
        torch.allclose(steps, steps[..., :1].expand_as(steps), rtol=1e-4, atol=1e-6)
    )


def is_mask(plain: torch.Tensor) -> bool:
    """A mask: bool, only two values (0 and 1, 0 and -inf), or with values that are no numbers."""
    if plain.dtype is torch.bool or not plain.isfinite().all():
        return True
    low, high = plain.min(), plain.max()
    return (
        plain.numel() > 2 and bool(low != high) and bool(((plain == low) | (plain == high)).all())
    )


def _shuffled_rows(plain: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if not plain.dim():
        return plain
    order = torch.rand(plain.shape, generator=generator).argsort(dim=-1)
    return plain.gather(-1, order)


def _whole_numbers(plain: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if not plain.dim() or looks_like_positions(plain):
        return plain
    flat = plain.reshape(-1).to(torch.int64)
    if torch.equal(
        flat.sort().values, flat.min() + torch.arange(flat.numel())
    ):  # each once: an order
        return flat[torch.randperm(flat.numel(), generator=generator)].reshape(plain.shape)
    return torch.randint(int(flat.min()), int(flat.max()) + 1, plain.shape, generator=generator)


def _numbers(plain: torch.Tensor, generator: torch.Generator, scale: float) -> torch.Tensor:
    wide = plain.to(torch.float64)
    low, high = wide.min(), wide.max()
    if low == high:  # a scale, a time, a zero state: nearer to zero is safe
        nearer = wide * (0.5 + 0.5 * torch.rand((), generator=generator, dtype=torch.float64))
        return -nearer if scale < 0 else nearer
    if looks_like_positions(plain):
        return wide
    drawn = wide.mean() + wide.std() * torch.randn(
        wide.shape, generator=generator, dtype=torch.float64
    )
    within = low + (high - low) * torch.rand(wide.shape, generator=generator, dtype=torch.float64)
    if low >= 0 and high <= 1 and scale > 0:
        return torch.where((drawn >= 0) & (drawn <= 1), drawn, within)
    one_sign = (
        (drawn >= 0)
        if low >= 0
        else (drawn <= 0)
        if high <= 0
        else torch.ones_like(drawn, dtype=torch.bool)
    )
    return scale * torch.where(one_sign, drawn, within)
