"""Placeholders: a module replaced by one node of domain `onnx_debug`, with the outputs that were recorded.

The rest of the model then exports as if the module were fine, and the exported graph shows the
module as one node in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from onnx_debug.eager.calls import Call
from onnx_debug.eager.leaf import Leaf
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.eager.packing import pack, unpack
from onnx_debug.onnx_file.names import PLACEHOLDER_DOMAIN
from onnx_debug.torch_private import modules, symbols


class StubError(Exception):
    """The module cannot be replaced: nothing was recorded of it, or it returns something that cannot be taken apart."""


@dataclass
class Stub:
    """What a placeholder knows of the module it stands for.

    Attributes:
        calls: the module's recorded calls inside the exported module, in order.
        traced: the first call as a capture saw it, if one did.
        others: the same calls with other inputs, to tell which sizes follow which.
    """

    fqn: str
    class_name: str
    calls: Sequence[Call]
    traced: Call | None = None
    others: Sequence[Sequence[Call]] = ()
    count: int = 0

    def __post_init__(self) -> None:
        if not self.calls:
            raise StubError(f"{self.fqn} was not called")
        for call in self.calls:
            if call.output is None or call.arguments is None:
                raise StubError(
                    f"the inputs or outputs of {self.fqn} cannot be recorded: {call.problem or 'it did not return'}"
                )
            if call.mutated:
                raise StubError(
                    f"{self.fqn} changes its inputs in place, which a placeholder cannot do"
                )

    @property
    def op_type(self) -> str:
        """The placeholder's operator name: the class name."""
        return re.sub(r"\W", "_", self.class_name)

    def restart(self) -> None:
        """Begin again with the first call: the exporter runs the model anew."""
        self.count = 0

    def next_call(self) -> tuple[int, Call]:
        """Position and record of the call that is being made now."""
        position = self.count % len(self.calls)
        self.count += 1
        return position, self.calls[position]


def install(names: ModuleNames, stub: Stub, *, dynamo: bool) -> None:
    """Replace the module's forward, without its hooks, by the placeholder."""
    module = names.modules[stub.fqn]
    forward = _captured_placeholder(stub) if dynamo else _traced_placeholder(stub)
    if modules.must_leave(module):
        _replace_in_parents(names, stub.fqn, _Substitute(module, forward))
        return
    modules.remove_forward_hooks(module)
    module.__dict__["forward"] = forward


class _Substitute(nn.Module):
    """Stands in for a module that holds TorchScript objects or lazy parameters: these must leave the tree as well.

    Other attributes are the original's.
    """

    def __init__(self, original: nn.Module, forward: Callable[..., Any]) -> None:
        super().__init__()
        self.__dict__["_original"] = original
        self.__dict__["forward"] = forward

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_original"], name)


def _replace_in_parents(names: ModuleNames, fqn: str, substitute: nn.Module) -> None:
    original = names.modules[fqn]
    for parent in list(names.modules.values()):
        modules.replace_child(parent, original, substitute)


def _captured_placeholder(stub: Stub) -> Callable[..., Any]:
    """The forward for `torch.export`."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        position, call = stub.next_call()
        given = pack((args, kwargs)).leaves
        assert call.output is not None
        wanted = [leaf for leaf in call.output.leaves if isinstance(leaf, torch.Tensor)]
        if not wanted:
            return unpack(call.output.template, call.output.leaves)
        border = [_border(leaf) for leaf in wanted]
        sizes = _Sizes(stub, position, call, given)
        shapes = [
            [*sizes.of(leaf, index), *([2] if leaf.is_complex() else [])]
            for index, leaf in enumerate(wanted)
        ]
        made = torch.onnx.ops.symbolic_multi_out(
            f"{PLACEHOLDER_DOMAIN}::{stub.op_type}",
            [_as_real(leaf) for leaf in given if isinstance(leaf, torch.Tensor)],
            {"module": stub.fqn, "call": call.index},
            dtypes=[dtype for dtype, _ in border],
            shapes=shapes,
            version=1,
        )
        outputs = iter(_like(tensor, leaf) for tensor, leaf in zip(made, wanted, strict=True))
        return unpack(
            call.output.template,
            [
                next(outputs) if isinstance(leaf, torch.Tensor) else leaf
                for leaf in call.output.leaves
            ],
        )

    # Where only a strict capture succeeds, dynamo would trace this code itself.
    return torch.compiler.allow_in_graph(forward)  # type: ignore[no-untyped-call, no-any-return]


def _border(leaf: torch.Tensor) -> tuple[torch.dtype, bool]:
    """The dtype in which a value crosses the border of the graph: ONNX has no complex tensors."""
    if leaf.is_complex():
        return leaf.real.dtype, True
    return leaf.dtype, False


def _as_real(leaf: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(leaf.resolve_conj()) if leaf.is_complex() else leaf


def _like(tensor: torch.Tensor, recorded: torch.Tensor) -> torch.Tensor:
    """Give a placeholder's output what the recorded one had: complex numbers, and `requires_grad`, by which attention is decomposed."""
    if recorded.is_complex():
        tensor = torch.view_as_complex(tensor)
    if recorded.requires_grad and (tensor.is_floating_point() or tensor.is_complex()):
        # The view makes it a non-leaf again, which in-place layers may write to.
        tensor = tensor.requires_grad_(True).view(tensor.shape)
    return tensor


class _Sizes:
    """Finds the sizes of a placeholder's outputs: a number, or the symbolic size of an input that it follows."""

    def __init__(self, stub: Stub, position: int, call: Call, given: Sequence[Any]) -> None:
        self._call, self._given = call, given
        self._traced = stub.traced
        self._others = [calls[position] for calls in stub.others if position < len(calls)]
        self._symbols = _symbols(stub.traced, given)
        self._fixed = (
            stub.traced is not None and stub.traced.specialized
        )  # then the sizes that the capture saw are part of the fault

    def of(self, leaf: torch.Tensor, index: int) -> list[Any]:
        """The output's sizes; `index` counts the output tensors."""
        described = self._described(index)
        if described is not None and len(described.sizes) == leaf.dim():
            return [
                self._by_example(axis, leaf.shape[axis], index)
                if isinstance(size, int)
                and (self._fixed or self._varies(axis, leaf.shape[axis], index))
                else self._by_expression(size, leaf.shape[axis])
                for axis, size in enumerate(described.sizes)
            ]
        return [self._by_example(axis, size, index) for axis, size in enumerate(leaf.shape)]

    def _described(self, index: int) -> Leaf | None:
        if self._traced is None or self._traced.output is None:
            return None
        found = [
            leaf
            for leaf in self._traced.output.leaves
            if isinstance(leaf, Leaf) and not leaf.number
        ]
        return found[index] if index < len(found) else None

    def _by_expression(self, size: int | str, recorded: int) -> Any:
        if isinstance(size, int):
            return recorded
        known = {"__builtins__": {}, **symbols.SIZE_FUNCTIONS}
        try:
            # An expression that torch printed, over the symbols of the inputs: "(s77//2) + 1".
            return eval(size, known, dict(self._symbols))
        except NameError:
            return recorded  # a size that arose inside the model: no input tells it
        except Exception as error:
            raise StubError(f"the size {size} of its output cannot be computed: {error}") from error

    def _by_example(self, axis: int, size: int, index: int) -> Any:
        """The symbolic size of an input that had the same number, on the same axis if there is one."""
        candidates = []
        for position, given in enumerate(self._given):
            if not isinstance(given, torch.Tensor):
                continue
            for other, symbolic in enumerate(given.shape):
                if symbols.is_symbolic(symbolic) and self._follows(
                    position, other, axis, size, index
                ):
                    candidates.append((other != axis, symbolic))
        candidates.sort(key=lambda pair: pair[0])
        usable = candidates and (not candidates[0][0] or self._varies(axis, size, index))
        return candidates[0][1] if usable else size

    def _follows(self, position: int, other: int, axis: int, size: int, index: int) -> bool:
        assert self._call.arguments is not None
        recorded = (
            self._call.arguments.leaves[position]
            if position < len(self._call.arguments.leaves)
            else None
        )
        if (
            not isinstance(recorded, torch.Tensor)
            or other >= recorded.dim()
            or recorded.shape[other] != size
        ):
            return False
        return all(_same_size(call, position, other, index, axis) for call in self._others)

    def _varies(self, axis: int, size: int, index: int) -> bool:
        """True when the output's size changed with other inputs."""
        return any(
            call.output is not None and call.output.tensors()[index].shape[axis] != size
            for call in self._others
        )


def _same_size(call: Call, position: int, other: int, index: int, axis: int) -> bool:
    if call.arguments is None or call.output is None:
        return True
    given, returned = call.arguments.leaves[position], call.output.tensors()[index]
    return bool(given.shape[other] == returned.shape[axis])


def _symbols(traced: Call | None, given: Sequence[Any]) -> dict[str, Any]:
    """The capture's symbols, each bound to the size of the present input that it stood for."""
    if traced is None or traced.arguments is None:
        return {}
    found: dict[str, Any] = {}
    for leaf, now in zip(traced.arguments.leaves, given, strict=False):
        if (
            isinstance(leaf, Leaf)
            and isinstance(now, torch.Tensor)
            and len(leaf.sizes) == now.dim()
        ):
            for size, actual in zip(leaf.sizes, now.shape, strict=True):
                if isinstance(size, str):
                    found.setdefault(size, actual)
        elif isinstance(leaf, Leaf) and leaf.number:
            found.setdefault(leaf.expression, now)
    return found


def _traced_placeholder(stub: Stub) -> Callable[..., Any]:
    """The forward for the legacy exporter, which traces real values."""
    # Made before the trace begins: inside it even a copy would be recorded.
    functions = [_placeholder_function(stub, call) for call in stub.calls]

    def forward(*args: Any, **kwargs: Any) -> Any:
        position, call = stub.next_call()
        assert call.output is not None
        if not call.output.tensors():
            return unpack(call.output.template, call.output.leaves)
        outputs = iter(functions[position].apply(*pack((args, kwargs)).tensors()))
        return unpack(
            call.output.template,
            [
                next(outputs) if isinstance(leaf, torch.Tensor) else leaf
                for leaf in call.output.leaves
            ],
        )

    return forward


def _placeholder_function(stub: Stub, call: Call) -> Any:
    """An autograd function that returns the recorded outputs and exports as one node."""
    assert call.output is not None
    values = tuple(leaf.detach().clone() for leaf in call.output.tensors())

    class Placeholder(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:  # noqa: ARG004
            # Autograd marks what is returned here, so it must not be the kept tensors themselves.
            return tuple(value.detach() for value in values)

        @staticmethod
        def symbolic(g: Any, *inputs: Any) -> Any:
            made = g.op(
                f"{PLACEHOLDER_DOMAIN}::{stub.op_type}",
                *inputs,
                module_s=stub.fqn,
                call_i=call.index,
                outputs=len(values),
            )
            return made if len(values) > 1 else (made,)

    return Placeholder
