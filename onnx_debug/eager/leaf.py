"""What a capture knows of the tensors and numbers that pass between modules: sizes, and no values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from onnx_debug.torch_private import symbols


@dataclass(frozen=True)
class Leaf:
    """What a capture knows of one tensor or symbolic number: no values.

    Attributes:
        sizes: numbers and expressions ("s77"); empty for a number.
        hints: the example sizes; None for one that depends on data.
        number: the Python type's name for a symbolic number ("int", "float", "bool"), else empty.
    """

    dtype: torch.dtype | None
    sizes: tuple[int | str, ...] = ()
    hints: tuple[int | None, ...] = ()
    requires_grad: bool = False
    number: str = ""
    expression: str = ""

    @property
    def dynamic(self) -> tuple[int, ...]:
        """The dimensions that the capture kept symbolic."""
        return tuple(axis for axis, size in enumerate(self.sizes) if isinstance(size, str))


def describe_leaf(leaf: Any) -> Leaf:
    """The description of a (fake) tensor or a symbolic number."""
    if isinstance(leaf, torch.Tensor):
        hints = tuple(symbols.size_hint(size) for size in leaf.shape)
        sizes = tuple(symbols.size_expression(size) for size in leaf.shape)
        return Leaf(leaf.dtype, sizes, hints, leaf.requires_grad)
    kind = {torch.SymInt: "int", torch.SymFloat: "float", torch.SymBool: "bool"}[type(leaf)]
    hint = symbols.size_hint(leaf)
    return Leaf(None, (), (hint,), number=kind, expression=str(symbols.size_expression(leaf)))
