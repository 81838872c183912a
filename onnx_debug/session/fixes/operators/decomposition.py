"""One entry of the catalogue: a function that stands in for operators, and examples that check it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

# The values of one argument: a tensor for each call, of a size of its own.
Samples = Callable[[torch.Generator], list[Tensor]]


@dataclass(frozen=True)
class Example:
    """A way of calling an operator, with inputs of several sizes.

    Attributes:
        call: what a user writes.
        samples: the values of each argument. Dimensions that differ between them can be exported as
            dynamic.
        tolerance: the largest difference allowed, as a share of the largest output and of the value.
    """

    call: Callable[..., Any]
    samples: tuple[Samples, ...]
    tolerance: float = 1e-5

    def inputs(self, seed: int = 0) -> list[tuple[Tensor, ...]]:
        """The arguments of each call."""
        generator = torch.Generator().manual_seed(seed)
        return list(zip(*(make(generator) for make in self.samples), strict=True))

    def dynamic_shapes(self) -> tuple[dict[int, Any], ...]:
        """For `torch.export.export`: every dimension that differs between the inputs is dynamic."""
        calls = self.inputs()
        return tuple(
            {
                dim: torch.export.Dim.DYNAMIC
                for dim in range(values[0].dim())
                if len({value.shape[dim] for value in values}) > 1
            }
            for values in zip(*calls, strict=True)
        )


@dataclass(frozen=True)
class Decomposition:
    """A function that computes what an operator computes, by operators that ONNX has.

    Attributes:
        targets: the operators that it stands in for, all called alike. Some are taken apart only
            after the capture: the program has `aten.cdist` where the failure names
            `aten._cdist_forward`, and stays whole there when only the inner one is in the table. So
            the outer ones are targets as well, of this entry or of another.
        function: takes what the targets take; it may return `NotImplemented` to leave a call alone.
        examples: ways of calling it, checked through ONNX Runtime.
        reaches: what the exporter names in its failure, beside the targets.
        limits: where it is wrong, inexact or impossible; empty: nowhere that is known.
    """

    targets: tuple[torch._ops.OpOverload, ...]
    function: Callable[..., Any]
    examples: tuple[Example, ...]
    reaches: tuple[str, ...] = ()
    limits: str = ""

    @property
    def title(self) -> str:
        """What the function does, in one line."""
        return self._documentation.partition("\n")[0]

    @property
    def explanation(self) -> str:
        """What it does and costs, and its limits."""
        doc = self._documentation.partition("\n")[2].strip()
        return "\n\n".join(filter(None, (doc, self.limits)))

    @property
    def _documentation(self) -> str:
        function = self.function.func if isinstance(self.function, partial) else self.function
        return inspect.getdoc(function) or ""


def example(call: Callable[..., Any], *samples: Samples, tolerance: float = 1e-5) -> Example:
    """An example with one `Samples` for each argument of `call`."""
    return Example(call, samples, tolerance)
