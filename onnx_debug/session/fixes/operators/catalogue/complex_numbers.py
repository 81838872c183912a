"""Operators on complex tensors, which ONNX does not have, part by part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from onnx_debug.session.fixes.operators.decomposition import Decomposition, example
from onnx_debug.session.fixes.operators.samples import complex_values, masks, normal
from onnx_debug.torch_private.operators import aten


def part_by_part(operator: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The operator on the real and on the imaginary part: it only moves numbers.

    Exact. Real tensors are left alone.
    """
    if not x.is_complex():
        return NotImplemented
    real, imag = both_parts(operator, x, *args, **kwargs)
    return torch.complex(real, imag)


def split_part_by_part(
    operator: Callable[..., Sequence[Tensor]], x: Tensor, *args: Any, **kwargs: Any
) -> list[Tensor]:
    """The operator on the real and on the imaginary part: it only moves numbers.

    Exact. Real tensors are left alone.
    """
    if not x.is_complex():
        return NotImplemented
    pairs = zip(*both_parts(operator, x, *args, **kwargs), strict=True)
    return [torch.complex(real, imag) for real, imag in pairs]


def both_parts(operator: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """What the operator makes of the real and of the imaginary parts of its complex arguments."""
    is_complex = [isinstance(arg, Tensor) and arg.is_complex() for arg in args]
    real = [arg.real if found else arg for arg, found in zip(args, is_complex, strict=True)]
    imag = [arg.imag if found else arg for arg, found in zip(args, is_complex, strict=True)]
    return operator(*real, **kwargs), operator(*imag, **kwargs)


def parts(x: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part, of a real tensor too."""
    return (x.real, x.imag) if x.is_complex() else (x, torch.zeros_like(x))


def by_two(product: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    """A product of complex tensors by four of real ones."""
    (a_real, a_imag), (b_real, b_imag) = parts(a), parts(b)
    real = product(a_real, b_real) - product(a_imag, b_imag)
    imag = product(a_real, b_imag) + product(a_imag, b_real)
    return torch.complex(real, imag)


def einsum(
    equation: str, tensors: Sequence[Tensor], *, path: Sequence[int] | None = None
) -> Tensor:
    """Einstein's sum of two complex tensors, by four of real ones.

    Rounding as in torch. Left alone for real tensors and for more than two.
    """
    del path
    if len(tensors) != 2 or not any(tensor.is_complex() for tensor in tensors):
        return NotImplemented
    return by_two(lambda a, b: torch.einsum(equation, a, b), *tensors)


def mm(a: Tensor, b: Tensor) -> Tensor:
    """The product of complex matrices, by four of real ones.

    Rounding as in torch. Real ones are left alone.
    """
    return by_two(torch.mm, a, b) if a.is_complex() else NotImplemented


def bmm(a: Tensor, b: Tensor) -> Tensor:
    """The product of batches of complex matrices, by four of real ones.

    Rounding as in torch. Real ones are left alone.
    """
    return by_two(torch.bmm, a, b) if a.is_complex() else NotImplemented


def where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """A choice between complex numbers, part by part.

    Exact. Left alone for real ones.
    """
    if not (a.is_complex() or b.is_complex()):
        return NotImplemented
    (a_real, a_imag), (b_real, b_imag) = parts(a), parts(b)
    return torch.complex(
        torch.where(condition, a_real, b_real), torch.where(condition, a_imag, b_imag)
    )


def exp(x: Tensor) -> Tensor:
    """The exponential of complex numbers, by real exponential, cosine and sine.

    Rounding as in torch. Real numbers are left alone.
    """
    if not x.is_complex():
        return NotImplemented
    size = x.real.exp()
    return torch.complex(size * x.imag.cos(), size * x.imag.sin())


def conj_physical(x: Tensor) -> Tensor:
    """The conjugate of complex numbers.

    Exact. Real numbers are left alone.
    """
    return torch.complex(x.real, -x.imag) if x.is_complex() else NotImplemented


def to_copy(x: Tensor, *, dtype: torch.dtype | None = None, **kwargs: Any) -> Tensor:
    """Conversion from and to complex types, by the types of the parts.

    Exact. Left alone between real types.
    """
    del kwargs
    if dtype is None or not (x.is_complex() or dtype.is_complex):
        return NotImplemented
    if not dtype.is_complex:
        return x.real.to(dtype)
    real, imag = parts(x)
    return torch.complex(real.to(dtype.to_real()), imag.to(dtype.to_real()))


NUMBERS = complex_values((2, 3, 4), (5, 3, 4), (3, 7, 4))


def moved(call: Callable[..., Tensor]) -> tuple[Any, ...]:
    """An example of an operator on complex numbers, that are made of real ones and given back as such."""
    return (example(lambda x: torch.view_as_real(call(torch.view_as_complex(x))), NUMBERS),)


def product(call: Callable[..., Tensor], *samples: Any) -> tuple[Any, ...]:
    """An example of a product of two complex tensors."""
    return (
        example(
            lambda a, b: torch.view_as_real(
                call(torch.view_as_complex(a), torch.view_as_complex(b))
            ),
            *samples,
        ),
    )


MOVING = (
    (aten.unsqueeze.default, lambda z: z.unsqueeze(1)),
    (aten.expand.default, lambda z: z[:, :1].expand(-1, 6, -1)),
    (aten.select.int, lambda z: z[..., 1]),
    (aten.repeat.default, lambda z: z.repeat(2, 1, 3)),
    (aten.index_select.default, lambda z: z.index_select(2, torch.arange(0, 4, 2))),
    (aten.index.Tensor, lambda z: z[:, :, torch.arange(0, 4, 2)]),
    (aten.pad.default, lambda z: torch.nn.functional.pad(z, (1, 2))),
    (aten.constant_pad_nd.default, lambda z: aten.constant_pad_nd(z, (1, 2))),
    (aten.slice_scatter.default, lambda z: z.slice_scatter(z[..., :2], 2, 1, 3)),
    (aten.repeat_interleave.self_int, lambda z: z.repeat_interleave(2, 1)),
)
SPLITTING = (
    (aten.split.Tensor, lambda z: z.split(2, -1)[1]),
    (aten.unbind.int, lambda z: z.unbind(-1)[1]),
    (aten.split_with_sizes.default, lambda z: z.split([1, 3], -1)[1]),
)
ENTRIES = (
    *(
        Decomposition((target,), partial(part_by_part, target), moved(call))
        for target, call in MOVING
    ),
    *(
        Decomposition((target,), partial(split_part_by_part, target), moved(call))
        for target, call in SPLITTING
    ),
    Decomposition(
        (aten.einsum.default,),
        einsum,
        product(
            lambda a, b: torch.einsum("bij,jk->bik", a, b),
            NUMBERS,
            complex_values((4, 5), (4, 2), (4, 3)),
        ),
    ),
    Decomposition(
        (aten.mm.default,),
        mm,
        product(
            torch.mm, complex_values((3, 4), (5, 4), (2, 4)), complex_values((4, 6), (4, 2), (4, 3))
        ),
    ),
    Decomposition(
        (aten.bmm.default,),
        bmm,
        product(torch.bmm, NUMBERS, complex_values((2, 4, 3), (5, 4, 6), (3, 4, 2))),
    ),
    Decomposition(
        (aten.where.self,),
        where,
        (
            example(
                lambda c, a: torch.view_as_real(
                    torch.where(c, torch.view_as_complex(a), torch.view_as_complex(a) * 2)
                ),
                masks((3, 4), (5, 4), (2, 4)),
                complex_values((3, 4), (5, 4), (2, 4)),
            ),
        ),
    ),
    Decomposition((aten.exp.default,), exp, moved(torch.exp)),
    Decomposition(
        (aten.conj_physical.default, aten._conj_physical.default),
        conj_physical,
        moved(torch.conj_physical),
    ),
    Decomposition(
        (aten._to_copy.default,),
        to_copy,
        (
            example(
                lambda x: torch.view_as_real(x.to(torch.complex64)),
                normal((2, 3), (5, 3), (4, 6)),
            ),
            example(
                lambda x: torch.view_as_real(torch.view_as_complex(x).to(torch.complex128)), NUMBERS
            ),
        ),
    ),
)
