"""The request that the user evidently meant: a guess, to be proven by exporting it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch.export import Dim

from onnx_debug.request.checks import known_names
from onnx_debug.request.dims import (
    bounds,
    dim_name,
    is_derived,
    is_dim,
    is_hint,
    is_named,
    is_static,
)
from onnx_debug.request.entries import Entry, read_axes, read_shapes
from onnx_debug.request.inputs import Inputs, Keys, Leaf, children, like, names_of
from onnx_debug.request.matching import UnclearError, assign
from onnx_debug.request.spell import identifier
from onnx_debug.torch_private.dynamic_shapes import reads_names

Options = dict[str, Any]

_SHAPES, _AXES = "dynamic_shapes", "dynamic_axes"


def mended_dims(
    inputs: Inputs, options: Mapping[str, Any], wrong: set[str], *, dynamo: bool
) -> Options:
    """The options with the dynamic dimensions that were meant, in the form that this exporter reads.

    Raises:
        UnclearError: what the user meant cannot be told.
    """
    rest = {name: value for name, value in options.items() if name not in (_SHAPES, _AXES)}
    if _SHAPES in wrong:
        entries = _agreed(inputs, _meant_shapes(inputs, options))
        if dynamo:
            return dict(options) | {_SHAPES: to_shapes(inputs, entries)}
        names = names_of(options, "input_names")
        names += [leaf.name for leaf in inputs.traced_inputs[len(names) :]]
        return rest | {"input_names": names, _AXES: _to_axes(inputs, names, entries)}
    if _AXES not in wrong:
        return dict(options)
    if not isinstance(options[_AXES], Mapping):
        raise UnclearError
    if dynamo:
        meant = _meant_axes(inputs, inputs.graph_inputs, options, known_names(inputs, options))
        entries = _entries_of_axes(inputs, meant, options[_AXES])
        return rest | {_SHAPES: to_shapes(inputs, _agreed(inputs, entries))}
    return rest | _legacy_axes(inputs, options)


def _meant_shapes(inputs: Inputs, options: Mapping[str, Any]) -> list[Entry]:
    shapes = options[_SHAPES]
    if not isinstance(shapes, dict | list | tuple):
        raise UnclearError
    reading = read_shapes(inputs, shapes, options)
    if reading.unclear:
        raise UnclearError
    return reading.entries + reading.guesses


def _legacy_axes(inputs: Inputs, options: Mapping[str, Any]) -> Options:
    """Every name of dynamic_axes in input_names or output_names, as the legacy exporter wants it."""
    axes, traced = options[_AXES], inputs.traced_inputs
    names, outputs = names_of(options, "input_names"), names_of(options, "output_names")
    known = {leaf.name: leaf for leaf in traced} | dict(zip(names, traced, strict=False))
    meant = _meant_axes(inputs, traced, options, known)
    called = {leaf.keys: key for key, leaf in meant.items() if leaf is not None and not names}
    names += [called.get(leaf.keys, leaf.name) for leaf in traced[len(names) :]]
    spare = [key for key, leaf in meant.items() if leaf is None]
    outputs = outputs or spare
    if not set(spare) <= set(outputs):
        raise UnclearError
    new = {"input_names": names} | ({"output_names": outputs} if outputs else {})
    of_outputs = {key: {i: _text(dim, key, i) for i, dim in _items(axes[key])} for key in spare}
    of_inputs = _to_axes(inputs, names, _entries_of_axes(inputs, meant, axes))
    return new | {_AXES: of_inputs | of_outputs}


def _items(axes: Any) -> Iterable[tuple[int, Any]]:
    if not isinstance(axes, dict | list | tuple | set):
        raise UnclearError
    return axes.items() if isinstance(axes, dict) else dict.fromkeys(axes).items()


def _text(dim: Any, owner: str, axis: int) -> str:
    return dim_name(dim) or f"{owner}_{axis}"


def _meant_axes(
    inputs: Inputs,
    leaves: tuple[Leaf, ...],
    options: Mapping[str, Any],
    known: Mapping[str, Leaf],
) -> dict[str, Leaf | None]:
    """The input that each key of `dynamic_axes` was meant for; None: an output."""
    axes, by_name = options[_AXES], {leaf.name: leaf for leaf in leaves if leaf.is_tensor}

    def fits(key: str, name: str) -> bool:
        reading = read_axes(inputs, key, by_name[name], axes[key])
        return not reading.unclear

    meant = assign(
        axes,
        by_name,
        fits=fits,
        aliases={alias: leaf.name for alias, leaf in known.items()},
        outputs=names_of(options, "output_names"),
        spare_are_outputs=True,
    )
    return {key: by_name.get(str(meant[key])) for key in axes}


def _entries_of_axes(
    inputs: Inputs, meant: Mapping[str, Leaf | None], axes: Mapping[str, Any]
) -> list[Entry]:
    readings = [
        read_axes(inputs, key, leaf, axes[key]) for key, leaf in meant.items() if leaf is not None
    ]
    if any(reading.unclear for reading in readings):
        raise UnclearError
    return [entry for reading in readings for entry in reading.entries + reading.guesses]


# --- from entries to torch's forms


def to_shapes(inputs: Inputs, entries: Iterable[Entry]) -> dict[str, Any]:
    """The dict that has an entry for each argument, in the order of the call.

    Raises:
        UnclearError: no spelling reaches what was meant.
    """
    if inputs.keyword_catcher is not None:
        raise UnclearError
    by_leaf: dict[Keys, dict[int | None, Any]] = {}
    for entry in entries:
        if entry.axis is None or not is_static(entry.dim):
            by_leaf.setdefault(entry.keys, {})[entry.axis] = entry.dim
    called = dict.fromkeys(keys[0] for keys in inputs.call_order)

    def filled(change: Callable[[Any], Any]) -> dict[str, Any]:
        def fill(keys: Keys, value: Any) -> Any:
            inside, said = children(value), by_leaf.get(keys, {})
            if inside is not None:
                return like(value, {key: fill((*keys, key), inside[key]) for key in inside})
            if isinstance(value, torch.Tensor):
                return {axis: change(said[axis]) for axis in sorted(said, key=str)} or None
            if None not in said and Leaf(keys, "", value).is_opaque:
                raise UnclearError  # a registered class: its entries cannot be counted from here
            return said.get(None)

        return {name: fill((name,), inputs.arguments[name]) for name in called}

    shapes = filled(lambda dim: dim)
    if reads_names(shapes):
        return shapes
    return filled(lambda dim: Dim.DYNAMIC if isinstance(dim, str) else dim)


def _to_axes(
    inputs: Inputs, names: Iterable[str], entries: Iterable[Entry]
) -> dict[str, dict[int, str]]:
    """`dynamic_axes` for these names of the inputs."""
    by_keys = {leaf.keys: name for leaf, name in zip(inputs.traced_inputs, names, strict=False)}
    axes: dict[str, dict[int, str]] = {}
    for entry in entries:
        name = by_keys.get(entry.keys)
        if name is not None and entry.axis is not None and not is_static(entry.dim):
            axes.setdefault(name, {})[entry.axis] = _text(entry.dim, name, entry.axis)
    return axes


# --- one name, one size, one Dim


def _agreed(inputs: Inputs, entries: Iterable[Entry]) -> list[Entry]:
    """The entries in the order of the inputs, with dimensions of one name having one size and one Dim.

    Where one name stands for two sizes, the later ones get names of their own.

    Raises:
        UnclearError: something stands there that is no dimension.
    """
    order = {leaf.keys: position for position, leaf in enumerate(inputs.leaves)}
    entries = sorted(
        (replace(entry, dim=_meant_dim(entry)) for entry in entries),
        key=lambda entry: (order[entry.keys], entry.axis or 0),
    )
    sizes: dict[str, int] = {}
    named: dict[str, list[Entry]] = {}
    names = [_own_name(entry, sizes) for entry in entries]
    for name, entry in zip(names, entries, strict=True):
        if is_named(entry.dim):
            named.setdefault(name, []).append(entry)
    dims = {name: _common_dim(name, found) for name, found in named.items() if name}
    return [
        replace(entry, dim=dims.get(name, name) if name else entry.dim)
        for name, entry in zip(names, entries, strict=True)
    ]


def _own_name(entry: Entry, sizes: dict[str, int]) -> str:
    """The name of a dimension that has one, with a further one where its size needs that."""
    name = dim_name(entry.dim) if entry.axis is not None else None
    if name is None:
        return ""
    if sizes.setdefault(name, entry.size) != entry.size:
        name = f"{name}_{'_'.join(map(str, entry.keys))}"
        name = name if isinstance(entry.dim, str) else identifier(name)
        sizes.setdefault(name, entry.size)
    return name


def _common_dim(name: str, entries: list[Entry]) -> Any:
    """One Dim for all, with the widest bounds among those that the examples allow."""
    limits = [bounds(entry.dim) for entry in entries]
    lows = [
        low if (low or 0) <= e.size else None for (low, _), e in zip(limits, entries, strict=True)
    ]
    highs = [
        high if high is None or high >= e.size else None
        for (_, high), e in zip(limits, entries, strict=True)
    ]
    low = None if None in lows else min(filter(None, lows), default=None)
    high = None if None in highs else max(filter(None, highs), default=None)
    first = entries[0].dim
    if first.__name__ == name and bounds(first) == (low, high):
        return first
    return Dim(name, min=low or None, max=high)


def _meant_dim(entry: Entry) -> Any:
    dim = entry.dim
    if entry.axis is None or is_derived(dim):
        return dim
    if dim is True or dim is Dim:
        return Dim.DYNAMIC
    if not is_dim(dim):
        raise UnclearError
    if is_hint(dim):
        low, high = bounds(dim)
        if (low or 0) > entry.size or (high is not None and high < entry.size):
            return type(dim)(dim.type)
    return dim
