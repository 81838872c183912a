"""One module as an export of its own: a wrapper with tensors at its border, and the inputs that the module gets inside the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from onnx_debug.eager.calls import Call
from onnx_debug.eager.leaf import Leaf
from onnx_debug.eager.packing import fill, pack, plain, unpack
from onnx_debug.onnx_file.names import INNER


class Alone(nn.Module):
    """Takes tensors, puts them into the arguments of `module`, and returns the tensors of its output.

    Args:
        module: the module.
        template, numbers, leaves: its arguments, as in `AloneInputs`.
        returned: the tensors that it returns in eager, if known. Under tracing Python sizes in its
            output are tensors too; those do not count.
    """

    def __init__(
        self,
        module: nn.Module,
        template: bytes,
        numbers: Sequence[str],
        leaves: Sequence[torch.Tensor],
        returned: Sequence[torch.Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.add_module(INNER, module)
        self.training = module.training  # without touching the modules below
        self._template, self._numbers = template, tuple(numbers)
        self._structure = plain(unpack(template, leaves), leaves)
        self._returned = [(leaf.dtype, leaf.dim()) for leaf in returned or ()]

    def forward(self, *leaves: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Call the module; a number comes in as a tensor, from which it is read here."""
        values = [_read(leaf, number) for leaf, number in zip(leaves, self._numbers, strict=True)]
        args, kwargs = (
            unpack(self._template, values)
            if self._structure is None
            else fill(self._structure[0], values)
        )
        found = _tensors(self._modules[INNER](*args, **kwargs))  # type: ignore[misc]
        traced = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        return tuple(self._without_sizes(found) if traced else found)

    def _without_sizes(self, found: list[torch.Tensor]) -> list[torch.Tensor]:
        """The outputs that eager returns as tensors too, in order; all, where they do not match."""
        wanted = list(self._returned)
        kept = [
            leaf
            for leaf in found
            if wanted and (leaf.dtype, leaf.dim()) == wanted[0] and wanted.pop(0)
        ]
        return found if wanted else kept


def _tensors(output: Any) -> list[torch.Tensor]:
    """The tensors of an output, each once. Dynamo traces the first branches, not the pickler of the last."""
    if isinstance(output, torch.Tensor):
        return [output]
    if type(output) in (tuple, list) and all(isinstance(item, torch.Tensor) for item in output):
        return list(dict.fromkeys(output))
    return [leaf for leaf in pack(output).leaves if isinstance(leaf, torch.Tensor)]


def _read(leaf: torch.Tensor, number: str) -> Any:
    if not number:
        return leaf
    return leaf.shape[0] if number == "size" else leaf.item()


@dataclass
class AloneInputs:
    """What the wrapper is given.

    Attributes:
        leaves: the tensors.
        numbers: for each, "" for a tensor, "size" or "item" for a number in tensor form.
        dynamic: for each, the dimensions whose size is not always the same: those that were
            symbolic inside the model, and those that differ between recorded calls.
        from_eager: the values are exactly what the eager run recorded, so its outputs are the
            expected ones.
        as_in_eager: beside their values, all that the exporter sees of them is as in eager.
    """

    template: bytes
    leaves: list[torch.Tensor]
    numbers: list[str]
    dynamic: list[tuple[int, ...]]
    from_eager: bool
    as_in_eager: bool = False

    def takes(self, call: Call) -> bool:
        """Whether an export with these inputs holds for a recorded call too: only its dynamic sizes differ."""
        if call.arguments is None or call.output is None or not self.from_eager:
            return False
        return call.arguments.template == self.template and all(
            set(axes or ()) <= set(allowed) and axes is not None
            for axes, allowed in zip(
                map(_differing, self.leaves, call.arguments.leaves), self.dynamic, strict=True
            )
        )


def inputs_as_recorded(call: Call, varying: Sequence[tuple[int, ...]]) -> AloneInputs:
    """The inputs of an eager call."""
    assert call.arguments is not None
    leaves = [live_copy(leaf) for leaf in call.arguments.leaves]
    return AloneInputs(
        call.arguments.template,
        leaves,
        [""] * len(leaves),
        list(varying),
        from_eager=True,
        as_in_eager=True,
    )


def inputs_as_traced(call: Call, traced: Call, varying: Sequence[tuple[int, ...]]) -> AloneInputs:
    """The inputs as the capture saw them, with the eager call's values wherever shape and dtype agree.

    A model may hand on other things while it is captured: a mask instead of None, a symbolic number
    instead of a plain one.
    """
    assert call.arguments is not None and traced.arguments is not None  # noqa: PT018 - checked by the caller
    unused = [leaf for leaf in call.arguments.leaves if isinstance(leaf, torch.Tensor)]
    made, numbers, dynamic = [], [], []
    exact = traced.arguments.template == call.arguments.template
    for leaf in traced.arguments.leaves:
        tensor, number = (
            (_number(leaf), _number_kind(leaf)) if leaf.number else (_value_for(leaf, unused), "")
        )
        if tensor is None:
            tensor, exact = _invent(leaf), False
        made.append(tensor)
        numbers.append(number)
        dynamic.append((0,) if number == "size" else leaf.dynamic)
    exact = exact and not any(numbers)
    if exact:  # what came before in the model may have fixed a size that this module could follow
        dynamic = [(*one, *other) for one, other in zip(dynamic, varying, strict=True)]
    same = exact and all(
        bool(seen.requires_grad) == leaf.requires_grad
        for seen, leaf in zip(traced.arguments.leaves, call.arguments.leaves, strict=True)
    )
    return AloneInputs(traced.arguments.template, made, numbers, dynamic, exact, same)


def varying_sizes(calls: Sequence[Call]) -> list[tuple[int, ...]]:
    """For each leaf of the first call, the dimensions that have another size in one of the others."""
    first = calls[0].arguments
    assert first is not None
    found: list[set[int]] = [set() for _ in first.leaves]
    for other in calls[1:]:
        if other.arguments is None or len(other.arguments.leaves) != len(first.leaves):
            continue
        for axes, one, two in zip(found, first.leaves, other.arguments.leaves, strict=True):
            axes |= set(_differing(one, two) or ())
    return [tuple(sorted(axes)) for axes in found]


def _differing(one: Any, other: Any) -> tuple[int, ...] | None:
    """The dimensions in which two tensors differ; None when they are no tensors of one rank."""
    if not (isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)):
        return None
    if one.dim() != other.dim():
        return None
    return tuple(axis for axis in range(one.dim()) if one.shape[axis] != other.shape[axis])


def _number_kind(leaf: Leaf) -> str:
    """A number that depends on data is read from a tensor; a size of an input, from a tensor of that size."""
    return (
        "size"
        if leaf.number == "int" and leaf.hints[0] is not None and leaf.hints[0] > 0
        else "item"
    )


def _number(leaf: Leaf) -> torch.Tensor:
    if _number_kind(leaf) == "size":
        return torch.zeros(leaf.hints[0] or 1)
    kind = {"int": torch.int64, "float": torch.float32, "bool": torch.bool}[leaf.number]
    return torch.tensor(leaf.hints[0] if leaf.hints[0] is not None else 1).to(kind)


def _value_for(leaf: Leaf, unused: list[torch.Tensor]) -> torch.Tensor | None:
    """The first unused eager tensor of that dtype and shape; a size that depends on data fits any."""
    for position, tensor in enumerate(unused):
        same_shape = tensor.dim() == len(leaf.hints) and all(
            hint in (None, size) for hint, size in zip(leaf.hints, tensor.shape, strict=True)
        )
        if same_shape and tensor.dtype == leaf.dtype:
            return live_copy(unused.pop(position), requires_grad=leaf.requires_grad)
    return None


def _invent(leaf: Leaf) -> torch.Tensor:
    """A value for a tensor that exists only in the capture: all True, or all zero, which leaves a mask without effect."""
    sizes = [1 if hint is None else hint for hint in leaf.hints]
    fill = leaf.dtype is torch.bool
    tensor = (
        torch.full(sizes, fill, dtype=leaf.dtype) if leaf.dtype is not None else torch.zeros(sizes)
    )
    return live_copy(tensor, requires_grad=leaf.requires_grad)


def live_copy(tensor: torch.Tensor, *, requires_grad: bool | None = None) -> torch.Tensor:
    """A copy to feed: not a leaf of autograd, because in-place layers may not write to a leaf that requires grad."""
    twin = tensor.detach().clone()
    wanted = tensor.requires_grad if requires_grad is None else requires_grad
    if not wanted or not (twin.is_floating_point() or twin.is_complex()):
        return twin
    with torch.enable_grad():
        return twin.requires_grad_().clone()


def dynamic_shapes(inputs: AloneInputs, *, required: bool) -> tuple[tuple[Any, ...]] | None:
    """`dynamic_shapes` for the wrapper: `required` makes it an error when a size becomes fixed, else the exporter may fix it."""
    if not any(inputs.dynamic):
        return None
    mark = torch.export.Dim.DYNAMIC if required else torch.export.Dim.AUTO
    return (tuple(dict.fromkeys(axes, mark) if axes else None for axes in inputs.dynamic),)


def dynamic_axes(inputs: AloneInputs) -> dict[str, list[int]]:
    """`dynamic_axes` for the legacy exporter, whose inputs are called `input_<i>`."""
    return {f"input_{i}": sorted(set(axes)) for i, axes in enumerate(inputs.dynamic) if axes}
