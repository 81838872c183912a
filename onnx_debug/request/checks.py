"""What is wrong with a request for dynamic dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from onnx_debug.data.request_fault import RequestFault
from onnx_debug.request.dims import (
    bounds,
    dim_name,
    is_derived,
    is_dim,
    is_hint,
    is_named,
    is_static,
)
from onnx_debug.request.entries import Entry, Reading, leaves_by_key, read_axes, read_shapes
from onnx_debug.request.inputs import Inputs, Leaf, names_of
from onnx_debug.request.matching import looks_like_output, nearest
from onnx_debug.request.problem import Problem, count, describe, quoted
from onnx_debug.torch_private.dynamic_shapes import reads_names

_SHAPES, _AXES = "dynamic_shapes", "dynamic_axes"
_SIZES = RequestFault.SIZES


def shape_problems(
    inputs: Inputs, dynamic_shapes: Any, options: Mapping[str, Any]
) -> Iterator[Problem]:
    """What torch.export would refuse, or quietly read otherwise; it must mirror the arguments of `forward`."""
    if not dynamic_shapes or callable(getattr(dynamic_shapes, "dynamic_shapes", None)):
        return  # ShapesCollection and AdditionalInputs build the structure themselves
    if not isinstance(dynamic_shapes, dict | list | tuple):
        expected = "a dict with an entry for each argument of forward, or a tuple in their order"
        yield Problem(_SHAPES, _SHAPES, describe(dynamic_shapes), expected)
        return
    reading = read_shapes(inputs, dynamic_shapes, options)
    if isinstance(dynamic_shapes, dict):
        reading.problems[:0] = _wrong_keys(inputs, dynamic_shapes, options)
    dims = [entry for entry in reading.entries if entry.axis is not None]
    contradicted = [problem for entry in dims for problem in _contradicted(entry)]
    yield from reading.problems
    yield from contradicted
    yield from _shared_names(dims)
    yield from _derived_sizes(dims)
    yield from _same_tensor(inputs, reading)
    if reading.problems or any(not is_dim(entry.dim) for entry in dims):
        return
    if any(dim_name(entry.dim) for entry in dims) and reads_names(dynamic_shapes):
        yield from _shuffled_names(inputs, reading)
    for entry in dims:
        if isinstance(entry.dim, str) and not reads_names(dynamic_shapes):
            expected = "a Dim or Dim.DYNAMIC: torch reads names only where every argument has a dict {index: dim}, a tuple or None"
            yield Problem(_SHAPES, entry.spelling, describe(entry.dim), expected)


def _wrong_keys(
    inputs: Inputs, wanted: dict[Any, Any], options: Mapping[str, Any]
) -> Iterator[Problem]:
    """Keys that are no arguments of this call, and arguments without a key."""
    missing = [name for name in inputs.arguments if name not in wanted]
    unknown = [key for key in wanted if key not in inputs.arguments]
    for key in unknown:
        found, expected = _wrong_key(inputs, key, missing, options)
        yield Problem(_SHAPES, f"{_SHAPES}[{key!r}]", found, expected)
    for name in missing if len(missing) > len(unknown) or not unknown else ():
        expected = "an entry for every argument that is passed; None where nothing is dynamic"
        yield Problem(_SHAPES, f"{_SHAPES}[{name!r}]", "no entry", expected)


def _wrong_key(
    inputs: Inputs, key: Any, missing: list[str], options: Mapping[str, Any]
) -> tuple[str, str]:
    """What stands there, and what was expected."""
    arguments, found = inputs.arguments, "no argument of forward"
    expected = "no entry: the sizes of outputs follow from the inputs"
    inside = [name for name, held in arguments.items() if isinstance(held, dict) and key in held]
    if key in inputs.signature.parameters:
        found, expected = "an argument that this call does not pass", "no entry"
    elif key in names_of(options, "output_names"):
        found = "an output"
    elif key in names_of(options, "input_names"):
        found = "a name from input_names"
        expected = f"the argument's own name: {quoted(missing or arguments)}"
    elif inside and inside[0] == inputs.keyword_catcher:
        found = "a keyword argument that only ** catches"
        expected = f"no {_SHAPES}, or a forward that names {key!r}"
    elif inside:
        found = f"a key inside the argument {inside[0]!r}"
        expected = f"{_SHAPES}[{inside[0]!r}][{key!r}]"
    elif missing or not looks_like_output(key):
        expected = nearest(key, missing or arguments)
    return found, expected


def _contradicted(entry: Entry) -> Iterator[Problem]:
    """A dimension that the example input contradicts by itself."""
    dim, size = entry.dim, entry.size
    if not is_dim(dim) or isinstance(dim, bool):
        expected = "a name, a Dim, Dim.DYNAMIC, Dim.AUTO, Dim.STATIC or None"
        yield Problem(_SHAPES, entry.spelling, describe(dim), expected, _SIZES)
    elif isinstance(dim, int) and dim != size:
        expected = f"{size}, the size of the given input, or a dynamic dimension"
        yield Problem(_SHAPES, entry.spelling, f"the fixed size {dim}", expected, _SIZES)
    elif is_named(dim) or is_hint(dim):
        yield from _outside(entry)


def _outside(entry: Entry) -> Iterator[Problem]:
    dim, size = entry.dim, entry.size
    try:
        low, high = bounds(dim)
    except AssertionError:  # torch computes the bounds of a derived Dim late, and refuses negatives
        expected = f"a larger min for {dim.root.__name__}"
        yield Problem(
            _SHAPES, entry.spelling, f"{dim}, which can become negative", expected, _SIZES
        )
        return
    called = describe(dim) if is_hint(dim) else f"the Dim {dim.__name__!r}"
    if high is not None and size > high:
        found = f"{called} with max={high}, but the given input has size {size}"
        expected = f"a max of at least {size}, or an example input of at most {high}"
        yield Problem(_SHAPES, entry.spelling, found, expected, _SIZES)
    if low is not None and size < low:
        found = f"{called} with min={low}, but the given input has size {size}"
        expected = f"a min of at most {size}, or an example input of at least {low}"
        yield Problem(_SHAPES, entry.spelling, found, expected, _SIZES)


def _shared_names(entries: Iterable[Entry]) -> Iterator[Problem]:
    """One name for two sizes. torch compares the sizes of Dims; strings are only pasted on at the end."""
    first: dict[str, Entry] = {}
    for entry in entries:
        name = dim_name(entry.dim)
        if name is None:
            continue
        other = first.setdefault(name, entry)
        both = is_named(entry.dim) and is_named(other.dim)
        if other.size != entry.size:
            found = f"{name!r}, which is {other.size} at {other.spelling}, but here the given input has size {entry.size}"
            yield Problem(
                _SHAPES, entry.spelling, found, "equal sizes, or another name", RequestFault.NAMES
            )
        elif both and bounds(entry.dim) != bounds(other.dim):
            found = f"another definition of {name!r} than at {other.spelling}"
            yield Problem(
                _SHAPES,
                entry.spelling,
                found,
                "one Dim object, used in both places",
                RequestFault.NAMES,
            )


def _derived_sizes(entries: list[Entry]) -> Iterator[Problem]:
    named = [entry for entry in entries if is_named(entry.dim) and not is_derived(entry.dim)]
    roots = {entry.dim.__name__: entry.size for entry in reversed(named)}
    for entry in entries:
        if not is_derived(entry.dim):
            continue
        root, offset = entry.dim.root.__name__, entry.dim.fn(0)
        factor = entry.dim.fn(1) - offset
        if root not in roots and (entry.size - offset) % factor == 0:
            roots[root] = (entry.size - offset) // factor
        if root not in roots or entry.dim.fn(roots[root]) != entry.size:
            known = f" with {root} = {roots[root]}" if root in roots else ""
            found = f"{entry.dim}, but the given input has size {entry.size}"
            yield Problem(_SHAPES, entry.spelling, found, f"a size of that form{known}", _SIZES)


def _same_tensor(inputs: Inputs, reading: Reading) -> Iterator[Problem]:
    """Two requests for one tensor object, which torch takes for one input."""
    first: dict[int, tuple[str, set[int | None]]] = {}
    for keys, spelling in reading.spellings.items():
        tensor = inputs[keys]
        if not isinstance(tensor, torch.Tensor):
            continue
        said = [entry for entry in reading.entries if entry.keys == keys]
        asked = {entry.axis for entry in said if not is_static(entry.dim)}
        other, before = first.setdefault(id(tensor), (spelling, asked))
        if before != asked:
            found = f"another request than {other}, for the same tensor object"
            expected = "the same entry, or a tensor of its own (x.clone()): torch takes one object for one input"
            yield Problem(_SHAPES, spelling, found, expected)


def _shuffled_names(inputs: Inputs, reading: Reading) -> Iterator[Problem]:
    graph, order = [leaf.keys for leaf in inputs.graph_inputs], list(reading.spellings)
    if order != graph and set(order) == set(graph):
        several = len({keys[0] for keys in graph}) > 1
        wanted = quoted(dict.fromkeys(keys[0] if several else keys[-1] for keys in graph))
        found = "entries in another order than the inputs; torch hands out the names by order, so they land on wrong inputs"
        yield Problem(_SHAPES, _SHAPES, found, f"a dict in the order of the call: {wanted}")


def axes_problems(
    inputs: Inputs, dynamic_axes: Any, options: Mapping[str, Any], *, dynamo: bool
) -> Iterator[Problem]:
    """What the exporter would refuse, or quietly ignore, of `dynamic_axes`: keyed by input and output names.

    The legacy exporter ignores names that it does not know, and dies of an index that the tensor
    does not have. With dynamo=True the entries become dynamic_shapes by their order alone, and only
    when there is exactly one for each input.
    """
    if dynamic_axes is None or (dynamo and options.get(_SHAPES) is not None):
        return  # dynamic_shapes wins
    if not isinstance(dynamic_axes, Mapping):
        yield Problem(_AXES, _AXES, describe(dynamic_axes), "a dict {name: {index: axis name}}")
        return
    output_names = names_of(options, "output_names")
    keys = [key for key in dynamic_axes if key not in output_names]
    keys += [name for name in names_of(options, "input_names") if name not in dynamic_axes]
    if dynamo and inputs.has_opaque:
        return
    if dynamo and len(keys) != len(inputs.leaves):
        yield from _wrong_count(inputs, keys, options)
        return
    leaves = leaves_by_key(inputs, dynamic_axes, options, dynamo=dynamo)
    yield from _wrong_order(inputs, leaves, options) if dynamo else _by_name(dynamic_axes, options)
    for key, axes in dynamic_axes.items():
        if key in keys or not dynamo:
            yield from _axes(inputs, key, axes, leaves.get(key), dynamo=dynamo)


def _by_name(axes: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[Problem]:
    names = [*names_of(options, "input_names"), *names_of(options, "output_names")]
    for key in axes:
        if key not in names:
            own = "the same name in input_names or output_names"
            expected = f"one of {quoted(names)}" if names else own
            found = "a name that no input or output is given"
            yield Problem(_AXES, f"{_AXES}[{key!r}]", found, expected)
    options_given = [name for name in ("input_names", "output_names") if options.get(name)]
    kinds = [type(options[name]) for name in options_given]
    if axes and tuple in kinds and kinds != [tuple, tuple]:
        expected = "a list: the legacy exporter joins the two lists of names"
        wrong = options_given[kinds.index(tuple)]
        yield Problem(wrong, wrong, "a tuple", expected)


def _wrong_order(
    inputs: Inputs, leaves: Mapping[str, Leaf], options: Mapping[str, Any]
) -> Iterator[Problem]:
    known = known_names(inputs, options)
    for key, leaf in leaves.items():
        if key in known and known[key].keys != leaf.keys:
            found = f"in the place of {leaf.name!r}; torch reads the entries by order, not by name"
            expected = "the order of the inputs, or dynamic_shapes"
            yield Problem(_AXES, f"{_AXES}[{key!r}]", found, expected)


def _wrong_count(inputs: Inputs, keys: list[str], options: Mapping[str, Any]) -> Iterator[Problem]:
    unknown = [key for key in keys if key not in known_names(inputs, options)]
    own = quoted(leaf.name for leaf in inputs.graph_inputs)
    for key in unknown:
        found = "a name that no input has"
        expected = f"dynamic_shapes with forward's own names: {own}"
        if looks_like_output(key):
            found = "a name that output_names does not have"
            expected = "no entry: the sizes of outputs follow from the inputs"
        yield Problem(_AXES, f"{_AXES}[{key!r}]", found, expected)
    if not unknown:
        entries, there = count(len(keys), "entry"), count(len(inputs.leaves), "input")
        found = f"{entries} (names in input_names included) for {there}"
        expected = f"dynamic_shapes with an entry for each argument: {quoted(inputs.arguments)}"
        yield Problem(_AXES, _AXES, found, expected)


def known_names(inputs: Inputs, options: Mapping[str, Any]) -> dict[str, Leaf]:
    """What the user can call each tensor: the exporter's name for it, or the one in input_names."""
    known = {leaf.name: leaf for leaf in inputs.graph_inputs}
    return known | dict(zip(names_of(options, "input_names"), inputs.graph_inputs, strict=False))


def _axes(
    inputs: Inputs, key: str, axes: Any, leaf: Leaf | None, *, dynamo: bool
) -> Iterator[Problem]:
    """What is wrong with the entry of one name; without a leaf it is that of an output."""
    spelling = f"{_AXES}[{key!r}]"
    if axes is None and dynamo:
        return
    if not isinstance(axes, dict | list):
        yield Problem(
            _AXES, spelling, describe(axes), "a dict {index: axis name}, or a list of indices"
        )
        return
    if leaf is not None and not leaf.is_opaque and (axes or leaf.is_tensor):
        yield from read_axes(inputs, key, leaf, axes).problems
    elif leaf is None:
        for index in axes:
            if not isinstance(index, int) or index < 0:
                found = f"{index!r} as index of a dimension"
                yield Problem(_AXES, f"{spelling}[{index!r}]", found, "an int, from 0 on")
    for index, name in axes.items() if isinstance(axes, dict) else ():
        if not isinstance(name, str):
            expected = "the name of the axis, a string"
            yield Problem(_AXES, f"{spelling}[{index!r}]", describe(name), expected)
