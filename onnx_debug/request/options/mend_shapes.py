"""A `dynamic_shapes` that says what the user evidently meant, in the structure that torch wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.export import Dim

from onnx_debug.request.options.agreement import Agreement
from onnx_debug.request.options.dims import is_dim, is_hint, is_named, is_static
from onnx_debug.request.options.inputs import Inputs, children, is_namedtuple
from onnx_debug.request.options.meaning import UnclearError, assign
from onnx_debug.request.options.shapes import reads_strings

Shapes = dict[str, Any]


def mend_shapes(inputs: Inputs, dynamic_shapes: Any, options: Mapping[str, Any]) -> Shapes:
    """The dict that has an entry for each argument, in the order of the call.

    Raises:
        UnclearError: what the user meant cannot be told.
    """
    if inputs.keyword_catcher is not None:
        raise UnclearError  # no spelling reaches what ** catches
    by_argument = _by_argument(inputs, dynamic_shapes, options)
    shapes = {
        name: mend_spec(value, by_argument.get(name)) for name, value in inputs.arguments.items()
    }
    agree = Agreement()
    shapes = {
        name: map_dims(inputs.arguments[name], spec, name, agree.dim)
        for name, spec in shapes.items()
    }
    shapes = {
        name: map_dims(inputs.arguments[name], spec, name, agree.settle)
        for name, spec in shapes.items()
    }
    if not reads_strings(shapes):
        shapes = {
            name: map_dims(inputs.arguments[name], spec, name, _without_string)
            for name, spec in shapes.items()
        }
    called = [keys[0] for keys in inputs.call_order]
    return {name: shapes[name] for name in called}


def _by_argument(inputs: Inputs, dynamic_shapes: Any, options: Mapping[str, Any]) -> Shapes:
    arguments = inputs.arguments
    if isinstance(dynamic_shapes, list | tuple):
        return _by_position(inputs, dynamic_shapes)
    if not isinstance(dynamic_shapes, dict):
        raise UnclearError
    if (
        len(arguments) == 1
        and dynamic_shapes
        and all(isinstance(key, int) for key in dynamic_shapes)
    ):
        return dict.fromkeys(arguments, dynamic_shapes)  # the argument itself was forgotten
    wanted, nested = dict(dynamic_shapes), Shapes()
    for key in [key for key in wanted if key not in arguments]:
        for holder, value in arguments.items():
            if isinstance(value, dict) and key in value and holder not in wanted:
                nested.setdefault(holder, {})[key] = wanted.pop(key)
                break
    outputs = options.get("output_names") or ()
    aliases = dict(
        zip(
            options.get("input_names") or (),
            (leaf.keys[0] for leaf in inputs.graph_inputs),
            strict=False,
        )
    )
    unused = [key for key in wanted if key in inputs.signature.parameters and key not in arguments]
    names = [name for name in arguments if name not in nested]
    meant = assign(
        [key for key in wanted if key not in unused],
        names,
        fits=lambda key, name: _fits(arguments[name], wanted[key]),
        aliases=aliases,
        outputs=outputs,
    )
    return nested | {name: wanted[key] for key, name in meant.items() if name is not None}


def _by_position(inputs: Inputs, specs: list[Any] | tuple[Any, ...]) -> Shapes:
    arguments = list(inputs.arguments)
    if not arguments:
        raise UnclearError
    if len(specs) > len(arguments) and len(specs) == len(inputs.leaves):
        by_leaf = {leaf.keys: spec for leaf, spec in zip(inputs.leaves, specs, strict=True)}
        return plant(inputs, by_leaf)
    only = inputs.arguments[arguments[0]] if len(arguments) == 1 else None
    if (
        isinstance(only, torch.Tensor)
        and len(specs) == only.dim() > 1
        and all(is_dim(dim) for dim in specs)
    ):
        return {arguments[0]: tuple(specs)}  # the dimensions of the only argument, not wrapped
    if any(spec is not None for spec in specs[len(arguments) :]):
        raise UnclearError
    return dict(zip(arguments, specs, strict=False))


def plant(inputs: Inputs, by_leaf: Mapping[tuple[Any, ...], Any]) -> Shapes:
    """The structure of the arguments, with these entries at these leaves and None at the others."""

    def fill(keys: tuple[Any, ...], value: Any) -> Any:
        inside = children(value)
        return (
            by_leaf.get(keys)
            if inside is None
            else like(value, {key: fill((*keys, key), child) for key, child in inside.items()})
        )

    return {name: fill((name,), value) for name, value in inputs.arguments.items()}


def like(value: Any, entries: Mapping[Any, Any]) -> Any:
    """A container of the kind of `value`."""
    if is_namedtuple(value):
        return type(value)(**entries)
    return dict(entries) if isinstance(value, dict) else type(value)(entries.values())


def _fits(value: Any, spec: Any) -> bool:
    try:
        mend_spec(value, spec)
    except UnclearError:
        return False
    return spec is None or children(value) is not None or _is_tensor(value)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def mend_spec(value: Any, spec: Any) -> Any:
    """What can be said of `value`, as close to `spec` as possible.

    Raises:
        UnclearError: `spec` says something that `value` has no place for.
    """
    inside = children(value)
    if isinstance(value, torch.Tensor):
        return _mend_tensor(value, spec)
    if inside is not None:
        entries = _entries(value, inside, spec)
        return like(
            value,
            {
                key: mend_spec(child, entry)
                for (key, child), entry in zip(inside.items(), entries, strict=True)
            },
        )
    if isinstance(value, int) and not isinstance(value, bool):
        return spec if is_hint(spec) else None
    if value is None or isinstance(value, bool | float | complex | str):
        return None
    if spec is None:
        raise UnclearError  # a registered class: its entries cannot be counted from here
    return spec


def _entries(value: Any, inside: dict[Any, Any], spec: Any) -> list[Any]:
    wanted = children(spec)
    if spec is None:
        return [None] * len(inside)
    if wanted is None or len(wanted) > len(inside):
        raise UnclearError
    if isinstance(value, dict) and isinstance(spec, dict):
        meant = assign(
            wanted, list(inside), fits=lambda key, name: _fits(inside[name], wanted[key])
        )
        by_name = {name: wanted[key] for key, name in meant.items()}
        return [by_name.get(name) for name in inside]
    if isinstance(spec, dict) and set(wanted) - set(inside):
        raise UnclearError
    if isinstance(spec, dict):
        return [wanted.get(key) for key in inside]
    return [*wanted.values(), *[None] * (len(inside) - len(wanted))]


def _mend_tensor(tensor: torch.Tensor, spec: Any) -> Any:
    rank = tensor.dim()
    if spec is None or rank == 0:
        return None
    if is_hint(spec):
        return dict.fromkeys(range(rank), spec)
    if isinstance(spec, str) or is_named(spec):
        return {0: spec}
    if isinstance(spec, set):
        spec = list(spec)
    if (
        isinstance(spec, list | tuple)
        and spec
        and len(spec) != rank
        and all(type(index) is int for index in spec)
    ):
        spec = dict.fromkeys(spec, Dim.DYNAMIC)  # indices, as in dynamic_axes
    if isinstance(spec, list | tuple):
        if any(dim is not None for dim in spec[rank:]):
            raise UnclearError
        spec = dict(enumerate(spec[:rank]))
    if not isinstance(spec, dict):
        raise UnclearError
    mended = {
        _mend_index(index, rank): _mend_dim(dim)
        for index, dim in spec.items()
        if not is_static(dim) or isinstance(dim, bool)
    }
    return {index: mended[index] for index in sorted(mended) if mended[index] is not None} or None


def _mend_index(index: Any, rank: int) -> int:
    if isinstance(index, str) and index.lstrip("-").isdigit():
        index = int(index)
    if not hasattr(index, "__index__") or not -rank <= int(index) < rank:
        raise UnclearError
    return int(index) % rank


def _mend_dim(dim: Any) -> Any:
    if dim is True or dim is Dim:
        return Dim.DYNAMIC
    if dim is False:
        return None
    if not is_dim(dim):
        raise UnclearError
    return dim


DimMap = Callable[[Any, int, str], Any]


def map_dims(value: Any, spec: Any, name: str, change: DimMap) -> Any:
    """`spec` with each dimension replaced by `change(dim, size, name of the input)`."""
    inside = children(value)
    if isinstance(value, torch.Tensor):
        return (
            None
            if spec is None
            else {index: change(dim, value.shape[index], name) for index, dim in spec.items()}
        )
    if inside is None or spec is None:
        return spec
    entries = children(spec) or {}
    return like(
        value,
        {
            key: map_dims(child, entries[key], f"{name}_{key}", change)
            for key, child in inside.items()
        },
    )


def _without_string(dim: Any, _size: int, _owner: str) -> Any:
    return Dim.DYNAMIC if isinstance(dim, str) else dim
