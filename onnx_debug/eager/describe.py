"""The tensors that went into and came out of a recorded call, in words that can be shown."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from inspect import ismodule
from typing import Any

import torch

from onnx_debug.data.module_info import TensorInfo
from onnx_debug.eager.calls import Call, Recording
from onnx_debug.eager.leaf import Leaf
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.eager.packing import unpack
from onnx_debug.request.inputs import forward_signature


def describe(
    recording: Recording, names: ModuleNames, traced: dict[str, list[Call]], fqn: str, index: int
) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """The tensors that went into and came out of one call."""
    call = next((found for found in recording.of(fqn) if found.index == index), None)
    if call is None or call.arguments is None:
        return (), ()
    seen = next((found for found in traced.get(fqn, ()) if found.index == index), None)
    args, kwargs = unpack(call.arguments.template, call.arguments.leaves)
    inputs = _describe_all(
        _named_arguments(names, fqn, args, kwargs),
        call.arguments.leaves,
        seen.arguments if seen else None,
    )
    if call.output is None:
        return inputs, ()
    output = unpack(call.output.template, call.output.leaves)
    return inputs, _describe_all({"": output}, call.output.leaves, seen.output if seen else None)


def _named_arguments(
    names: ModuleNames, fqn: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    found = forward_signature(names.modules[fqn])
    try:
        bound = (found or inspect.Signature()).bind(*args, **kwargs)
    except TypeError:
        return {**{str(position): value for position, value in enumerate(args)}, **kwargs}
    return dict(bound.arguments)


def _describe_all(
    values: dict[str, Any], leaves: Iterable[Any], seen: Any
) -> tuple[TensorInfo, ...]:
    positions = {id(leaf): position for position, leaf in enumerate(leaves)}
    symbols = seen.leaves if seen is not None else ()
    found = []
    for name, tensor in _named_tensors(values):
        position = positions.get(id(tensor), len(symbols))
        known = (
            symbols[position]
            if position < len(symbols) and isinstance(symbols[position], Leaf)
            else None
        )
        found.append(
            _describe_tensor(
                name,
                tensor,
                known.sizes if known is not None and len(known.sizes) == tensor.dim() else (),
            )
        )
    return tuple(found)


def _named_tensors(
    value: Any, name: str = "", depth: int = 0
) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield name or "0", value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _named_tensors(item, f"{name}[{key!r}]" if name else str(key), depth + 1)
    elif isinstance(value, tuple | list):
        for position, item in enumerate(value):
            yield from _named_tensors(
                item, f"{name}[{position}]" if name else str(position), depth + 1
            )
    elif depth < 4 and hasattr(value, "__dict__") and not callable(value) and not ismodule(value):
        for key, item in vars(value).items():
            yield from _named_tensors(item, f"{name}.{key}" if name else key, depth + 1)


def _describe_tensor(name: str, tensor: torch.Tensor, symbols: tuple[int | str, ...]) -> TensorInfo:
    dtype = str(tensor.dtype).removeprefix("torch.")
    low = high = None
    nan = 0
    if (
        tensor.layout is torch.strided
        and not tensor.is_complex()
        and tensor.dtype is not torch.bool
        and tensor.numel()
    ):
        plain = tensor.detach().to(torch.float64)
        finite = plain[plain.isfinite()]
        nan = int(plain.isnan().sum())
        low, high = (float(finite.min()), float(finite.max())) if finite.numel() else (None, None)
    return TensorInfo(name, dtype, tuple(tensor.shape), symbols, str(tensor.device), low, high, nan)
