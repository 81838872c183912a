"""What is wrong with `dynamic_shapes`: it must mirror the arguments of `forward`, a list for a list, None for what is fixed."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from onnx_debug.request.options.axes import looks_like_output
from onnx_debug.request.options.dims import (
    Place,
    dim_name,
    dim_problems,
    is_derived,
    is_dim,
    is_hint,
    is_named,
    is_static,
)
from onnx_debug.request.options.inputs import (
    Inputs,
    Keys,
    below,
    children,
    count,
    describe,
    is_namedtuple,
    quoted,
)
from onnx_debug.request.options.problem import Problem

_OPTION = "dynamic_shapes"


def shape_problems(
    inputs: Inputs, dynamic_shapes: Any, options: Mapping[str, Any]
) -> Iterator[Problem]:
    """What torch.export would refuse, or quietly read otherwise."""
    if dynamic_shapes is None or callable(getattr(dynamic_shapes, "dynamic_shapes", None)):
        return  # ShapesCollection and AdditionalInputs build the structure themselves
    if not isinstance(dynamic_shapes, dict | list | tuple):
        expected = "a dict with an entry for each argument of forward, or a tuple in their order"
        yield Problem(_OPTION, _OPTION, describe(dynamic_shapes), expected)
        return
    if not dynamic_shapes:
        return  # torch takes an empty one for None
    reading = Reading(inputs, dynamic_shapes, options)
    yield from reading.problems
    yield from dim_problems(reading.places)
    yield from _same_tensor(reading)
    if not reads_strings(dynamic_shapes):
        yield from _unread_strings(reading)
    elif not reading.problems:
        yield from _shuffled_names(inputs, reading)


class Reading:
    """One walk over the arguments and the request.

    Attributes:
        problems: where the two do not match.
        places: every dimension that is mentioned and exists.
        tensors: entry, tensor and what is said of it, for each tensor.
        order: keys of the leaves, in the order of the request.
    """

    def __init__(self, inputs: Inputs, dynamic_shapes: Any, options: Mapping[str, Any]) -> None:
        self.problems: list[Problem] = []
        self.places: list[Place] = []
        self.tensors: list[tuple[str, torch.Tensor, Any]] = []
        self.order: list[Keys] = []
        self._catcher = inputs.keyword_catcher
        arguments = inputs.arguments
        if isinstance(dynamic_shapes, dict):
            self.problems += wrong_keys(inputs, dynamic_shapes, options)
            named = {
                name: (f"{_OPTION}[{name!r}]", spec)
                for name, spec in dynamic_shapes.items()
                if name in arguments
            }
        else:
            if len(dynamic_shapes) != len(arguments):
                found = f"{count(len(dynamic_shapes), 'entry', 'entries')} for {count(len(arguments), 'argument', 'arguments')}"
                self._say(_OPTION, found, f"one entry for each of {quoted(arguments)}")
            named = {
                name: (f"{_OPTION}[{i}]", spec)
                for i, (name, spec) in enumerate(zip(arguments, dynamic_shapes, strict=False))
            }
        for name, (entry, spec) in named.items():
            self._walk(entry, (name,), arguments[name], spec)

    def _say(self, entry: str, found: str, expected: str, *, silent: bool = False) -> None:
        self.problems.append(Problem(_OPTION, entry, found, expected, silent=silent))

    def _walk(self, entry: str, keys: Keys, value: Any, spec: Any) -> None:
        if keys == (self._catcher,):
            # torch.export loses track of these: it looks for them under their own names and under
            # that of the ** parameter
            self._say(
                entry,
                "keyword arguments that only ** catches",
                f"no dynamic_shapes, or a forward that names {quoted(value)}",
            )
        elif isinstance(value, torch.Tensor):
            self.order.append(keys)
            self._tensor(entry, value, spec)
        elif children(value) is not None:
            self._container(entry, keys, value, spec)
        else:
            self.order.append(keys)
            self._plain_value(entry, value, spec)

    def _plain_value(self, entry: str, value: Any, spec: Any) -> None:
        if isinstance(value, int) and not isinstance(value, bool):
            if spec is not None and not is_hint(spec):
                self._say(
                    entry,
                    describe(spec),
                    f"None, or Dim.DYNAMIC to keep it open: the argument is the number {value}",
                )
        elif (
            value is None or isinstance(value, bool | float | complex | str)
        ) and spec is not None:
            self._say(
                entry, describe(spec), f"None: the argument is {describe(value)}, not a tensor"
            )

    def _container(self, entry: str, keys: Keys, value: Any, spec: Any) -> None:
        inside, wanted = children(value) or {}, children(spec)
        alike = isinstance(spec, dict) if isinstance(value, dict) else type(spec) is type(value)
        if wanted is None or not alike:
            size = f", with {count(len(inside), 'entry', 'entries')}" if inside else ", empty"
            self._say(entry, describe(spec), f"{_kind(value)} like the argument{size}")
        elif set(wanted) != set(inside) and not isinstance(value, dict):
            self._say(
                entry,
                count(len(wanted), "entry", "entries"),
                f"{len(inside)}, as many as the argument has",
            )
        elif set(wanted) != set(inside):
            missing, extra = (
                [k for k in inside if k not in wanted],
                [k for k in wanted if k not in inside],
            )
            found = (
                f"no entry for {quoted(missing)}"
                if missing
                else f"an entry for {quoted(extra)}, which the argument does not have"
            )
            self._say(entry, found, f"an entry for each of {quoted(inside)}")
        else:
            if not wanted:
                self.order.append(keys)
            for key, inner in wanted.items():
                self._walk(below(entry, value, key), (*keys, key), inside[key], inner)

    def _tensor(self, entry: str, tensor: torch.Tensor, spec: Any) -> None:
        self.tensors.append((entry, tensor, spec))
        if spec is None:
            return
        if isinstance(spec, dict):
            dims = spec
        elif isinstance(spec, list | tuple):
            dims = dict(enumerate(spec))
            if len(spec) != tensor.dim():
                expected = f"{tensor.dim()}, one for each dimension of {describe(tensor)}; or a dict {{index: dim}}"
                self._say(entry, f"{describe(spec)}, {len(spec)} long", expected)
                return
        else:
            self._say(
                entry,
                describe(spec),
                f"a dict {{index: dim}} for {describe(tensor)}, such as {{0: 'batch'}}, or None",
            )
            return
        for index, dim in dims.items():
            self._dimension(f"{entry}[{index!r}]", tensor, index, dim)

    def _dimension(self, entry: str, tensor: torch.Tensor, index: Any, dim: Any) -> None:
        rank = tensor.dim()
        if not hasattr(index, "__index__"):
            self._say(entry, f"{index!r} as index of a dimension", f"an int from 0 to {rank - 1}")
            return
        if not -rank <= index < rank:
            # without a name to paste on, torch never looks at the dimension
            silent = dim_name(dim) is None and not is_derived(dim)
            expected = (
                f"an index from 0 to {rank - 1}: the input is {describe(tensor)}"
                if rank
                else "no entry: the input is a scalar"
            )
            self._say(entry, f"index {index}", expected, silent=silent)
            return
        if index < 0 and not is_static(dim) and (is_derived(dim) or not is_named(dim)):
            self._say(
                entry,
                f"the negative index {index}, which torch quietly ignores",
                str(index + rank),
                silent=True,
            )
        self.places.append(Place(entry, tensor.shape[index], dim))


def wrong_keys(
    inputs: Inputs, dynamic_shapes: dict[Any, Any], options: Mapping[str, Any]
) -> Iterator[Problem]:
    """Keys that are no arguments of this call, and arguments without a key."""
    missing = [name for name in inputs.arguments if name not in dynamic_shapes]
    unknown = [key for key in dynamic_shapes if key not in inputs.arguments]
    for key in unknown:
        yield Problem(_OPTION, f"{_OPTION}[{key!r}]", *_wrong_key(inputs, key, missing, options))
    for name in missing if len(missing) > len(unknown) or not unknown else ():
        expected = "an entry for every argument that is passed; None where nothing is dynamic"
        yield Problem(_OPTION, f"{_OPTION}[{name!r}]", "no entry", expected)


def _wrong_key(
    inputs: Inputs, key: Any, missing: list[str], options: Mapping[str, Any]
) -> tuple[str, str]:
    if key in inputs.signature.parameters:
        return "an argument that this call does not pass", "no entry"
    if key in (options.get("output_names") or ()):
        return "an output", "no entry: the sizes of outputs follow from the inputs"
    if key in (options.get("input_names") or ()):
        return (
            "a name from input_names",
            f"the argument's own name: {quoted(missing or inputs.arguments)}",
        )
    return _key_nobody_has(inputs, key, missing)


def _key_nobody_has(inputs: Inputs, key: Any, missing: list[str]) -> tuple[str, str]:
    holders = [
        name for name, value in inputs.arguments.items() if isinstance(value, dict) and key in value
    ]
    if holders and holders[0] != inputs.keyword_catcher:
        return f"a key inside the argument {holders[0]!r}", f"{_OPTION}[{holders[0]!r}][{key!r}]"
    if holders:
        return (
            "a keyword argument that only ** catches",
            f"no dynamic_shapes, or a forward that names {key!r}",
        )
    if not missing and looks_like_output(str(key)):
        return "no argument of forward", "no entry: the sizes of outputs follow from the inputs"
    close = difflib.get_close_matches(str(key), missing or list(inputs.arguments), n=1)
    return "no argument of forward", repr(
        close[0]
    ) if close else f"one of {quoted(missing or inputs.arguments)}"


def reads_strings(dynamic_shapes: Any) -> bool:
    """Whether torch turns strings into dynamic dimensions: it does only when every leaf is a mapping of dimensions or None."""
    if dynamic_shapes is None or _is_axes(dynamic_shapes):
        return True
    inside = children(dynamic_shapes)
    return inside is not None and all(reads_strings(spec) for spec in inside.values())


def _is_axes(spec: Any) -> bool:
    if isinstance(spec, dict):
        return all(isinstance(index, int) and is_dim(dim) for index, dim in spec.items())
    return isinstance(spec, list | tuple) and all(is_dim(dim) for dim in spec)


def _unread_strings(reading: Reading) -> Iterator[Problem]:
    if reading.problems or any(not is_dim(place.dim) for place in reading.places):
        return  # the other wrong entry is the reason; without it the strings are read
    for place in reading.places:
        if isinstance(place.dim, str):
            # a bare Dim.DYNAMIC (for a number) or an index that is no int makes torch leave all
            # strings as they are
            expected = "a Dim or Dim.DYNAMIC: torch reads names only where every argument has a dict {index: dim}, a tuple or None"
            yield Problem(_OPTION, place.entry, describe(place.dim), expected)


def _same_tensor(reading: Reading) -> Iterator[Problem]:
    first: dict[int, tuple[str, Any]] = {}
    for entry, tensor, spec in reading.tensors:
        if id(tensor) not in first:
            first[id(tensor)] = entry, spec
            continue
        other, before = first[id(tensor)]
        if open_dims(before) != open_dims(spec):
            expected = "the same entry, or a tensor of its own (x.clone()): torch takes one object for one input"
            silent = open_dims(before) <= open_dims(spec) or all(
                is_named(dim) for dim in _dims(before).values()
            )
            yield Problem(
                _OPTION,
                entry,
                f"another request than {other}, for the same tensor object",
                expected,
                silent=silent,
            )


def _dims(spec: Any) -> dict[Any, Any]:
    return {index: dim for index, dim in (children(spec) or {}).items() if not is_static(dim)}


def open_dims(spec: Any) -> set[Any]:
    """Indices of the dimensions that are asked to be dynamic."""
    return set(_dims(spec))


def _shuffled_names(inputs: Inputs, reading: Reading) -> Iterator[Problem]:
    graph = [leaf.keys for leaf in inputs.graph_inputs]
    names = any(dim_name(place.dim) is not None for place in reading.places)
    if (
        names
        and reading.order != graph
        and sorted(map(repr, reading.order)) == sorted(map(repr, graph))
    ):
        wanted = quoted(
            dict.fromkeys(keys[0] if len({k[0] for k in graph}) > 1 else keys[-1] for keys in graph)
        )
        found = "entries in another order than the inputs; torch hands out the names by order, so they land on wrong inputs"
        yield Problem(
            _OPTION, _OPTION, found, f"a dict in the order of the call: {wanted}", silent=True
        )


def _kind(value: Any) -> str:
    return (
        f"a {type(value).__name__}"
        if not is_namedtuple(value)
        else f"the named tuple {type(value).__name__}"
    )
