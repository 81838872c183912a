"""The normal form of a request for dynamic dimensions: one entry for each dimension that it mentions.

A dict, a tuple, a list, a `ShapesCollection` and `dynamic_axes` are all read into entries; checks,
corrections and other spellings follow from them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import Dim

from onnx_debug.request.dims import is_derived, is_dim, is_hint, is_named, is_static
from onnx_debug.request.inputs import Inputs, Keys, Leaf, below, children, is_namedtuple, names_of
from onnx_debug.request.matching import UnclearError, assign
from onnx_debug.request.problem import Problem, count, describe, quoted

logger = logging.getLogger(__name__)

_SHAPES, _AXES = "dynamic_shapes", "dynamic_axes"


@dataclass(frozen=True, eq=False)
class Entry:
    """What a request says of one dimension.

    Attributes:
        keys: lead to the leaf, argument name first.
        leaf: the tensor; or a number, or an object that only torch can take apart.
        axis: counted from the front; None: the entry speaks of the leaf as a whole.
        dim: what the user wrote for it.
        spelling: how the user wrote the place: `dynamic_shapes['x'][0]`.
    """

    keys: Keys
    leaf: Any
    axis: int | None
    dim: Any
    spelling: str

    @property
    def size(self) -> int:
        """The size in the given input."""
        assert self.axis is not None
        return int(self.leaf.shape[self.axis])


def entries_of(
    inputs: Inputs, model: Any, options: Mapping[str, Any], *, dynamo: bool
) -> list[Entry]:
    """The entries of a request, in whichever of torch's forms it was written, as torch reads them."""
    shapes, axes = options.get(_SHAPES), options.get(_AXES)
    if callable(getattr(shapes, "dynamic_shapes", None)):
        shapes = _built(shapes, model, inputs)
    if isinstance(shapes, dict | list | tuple) and shapes:
        return read_shapes(inputs, shapes, options).entries
    if not isinstance(axes, Mapping):
        return []
    leaves = leaves_by_key(inputs, axes, options, dynamo=dynamo)
    return [
        entry
        for key, leaf in leaves.items()
        for entry in read_axes(inputs, key, leaf, axes.get(key)).entries
    ]


def _built(shapes: Any, model: Any, inputs: Inputs) -> Any:
    """What a `ShapesCollection` builds from the inputs."""
    try:
        return shapes.dynamic_shapes(model, (), inputs.arguments)
    except Exception:  # the exporter says what is wrong with it; here it only asks for nothing
        logger.debug("dynamic_shapes cannot be built", exc_info=True)
        return None


def leaves_by_key(
    inputs: Inputs, axes: Mapping[str, Any], options: Mapping[str, Any], *, dynamo: bool
) -> dict[str, Leaf]:
    """The input that each key of `dynamic_axes` reaches: by name in the legacy exporter, by order alone in the other."""
    input_names, output_names = names_of(options, "input_names"), names_of(options, "output_names")
    if not dynamo:
        return dict(zip(input_names, inputs.traced_inputs, strict=False))
    keys = [key for key in axes if key not in output_names]
    keys += [name for name in input_names if name not in axes]
    return dict(zip(keys, inputs.leaves, strict=False))


def read_axes(inputs: Inputs, key: str, leaf: Leaf, axes: Any) -> Reading:
    """What one entry of `dynamic_axes` says of one input."""
    reading = Reading(inputs, _AXES)
    if isinstance(axes, list | tuple | set):
        axes = dict.fromkeys(axes, Dim.DYNAMIC)
    reading.walk(f"{_AXES}[{key!r}]", leaf.keys, leaf.value, axes)
    return reading


def read_shapes(
    inputs: Inputs,
    dynamic_shapes: dict[Any, Any] | list[Any] | tuple[Any, ...],
    options: Mapping[str, Any],
) -> Reading:
    """What `dynamic_shapes` says of all inputs."""
    reading = Reading(inputs, _SHAPES)
    if isinstance(dynamic_shapes, dict):
        reading.by_name(dynamic_shapes, options)
    else:
        reading.by_position(dynamic_shapes)
    return reading


class Reading:
    """One walk over the arguments and a request.

    Attributes:
        entries: what torch reads.
        guesses: what the user evidently meant by the rest.
        problems: where an entry does not have the structure of its argument.
        spellings: how the request spells each leaf that it mentions rightly, in its own order.
        unclear: something was meant that cannot be told.
    """

    def __init__(self, inputs: Inputs, option: str) -> None:
        self.entries: list[Entry] = []
        self.guesses: list[Entry] = []
        self.problems: list[Problem] = []
        self.spellings: dict[Keys, str] = {}
        self.unclear = False
        self._inputs, self._option = inputs, option

    def by_name(self, wanted: dict[Any, Any], options: Mapping[str, Any]) -> None:
        """Read a dict with an entry for each argument."""
        arguments = self._inputs.arguments
        for name, spec in wanted.items():
            if name in arguments:
                self.walk(f"{_SHAPES}[{name!r}]", (name,), arguments[name], spec)
        if not set(wanted) <= set(arguments):
            try:
                self._guess_arguments(dict(wanted), options)
            except UnclearError:
                self.unclear = True

    def by_position(self, specs: list[Any] | tuple[Any, ...]) -> None:
        """Read a list or a tuple with an entry for each argument."""
        arguments, leaves = self._inputs.arguments, self._inputs.leaves
        names = list(arguments)
        if len(specs) == len(arguments):
            for i, name in enumerate(names):
                self.walk(f"{_SHAPES}[{i}]", (name,), arguments[name], specs[i])
            return
        found = f"{count(len(specs), 'entry')} for {count(len(arguments), 'argument')}"
        self._say(_SHAPES, found, f"one entry for each of {quoted(arguments)}")
        only = arguments[names[0]] if len(names) == 1 else None
        if len(specs) > len(arguments) and len(specs) == len(leaves):
            for i, leaf in enumerate(leaves):
                self._guess(f"{_SHAPES}[{i}]", leaf.keys, specs[i])
        elif (
            isinstance(only, torch.Tensor) and len(specs) == only.dim() and all(map(is_dim, specs))
        ):
            self._guess(_SHAPES, (names[0],), tuple(specs))  # the only argument, not wrapped
        else:
            self.unclear |= not names or any(spec is not None for spec in specs[len(names) :])
            for i, name in enumerate(names[: len(specs)]):
                self._guess(f"{_SHAPES}[{i}]", (name,), specs[i])

    def walk(self, spelling: str, keys: Keys, value: Any, spec: Any) -> None:
        """Read what the request says of the value at `keys`."""
        if keys == (self._inputs.keyword_catcher,):
            # torch.export looks for these under their own names and under that of the ** parameter.
            found = "keyword arguments that only ** catches"
            self._say(spelling, found, f"no {_SHAPES}, or a forward that names {quoted(value)}")
        elif children(value) is not None:
            self._container(spelling, keys, value, spec)
        else:
            self.spellings[keys] = spelling
            if isinstance(value, torch.Tensor):
                self._tensor(spelling, keys, value, spec)
            elif spec is not None:
                self._whole(spelling, keys, value, spec)

    def _say(self, spelling: str, found: str, expected: str) -> None:
        self.problems.append(Problem(self._option, spelling, found, expected))

    def _guess(self, spelling: str, keys: Keys, spec: Any) -> None:
        """Read something that torch does not accept there; why was said."""
        inner = Reading(self._inputs, self._option)
        inner.walk(spelling, keys, self._inputs[keys], spec)
        self.guesses += inner.entries + inner.guesses
        self.unclear |= inner.unclear

    def _fits(self, keys: Keys, spec: Any) -> bool:
        inner, value = Reading(self._inputs, self._option), self._inputs[keys]
        inner._guess("", keys, spec)
        holds = children(value) is not None or isinstance(value, torch.Tensor)
        return not inner.unclear and (spec is None or holds)

    def _guess_arguments(self, wanted: dict[Any, Any], options: Mapping[str, Any]) -> None:
        arguments = self._inputs.arguments
        if len(arguments) == 1 and all(isinstance(key, int) for key in wanted):
            self._guess(_SHAPES, tuple(arguments), wanted)  # the argument itself was forgotten
            return
        holders = set()
        for key in [key for key in wanted if key not in arguments]:
            for holder, value in arguments.items():
                if isinstance(value, dict) and key in value and holder not in wanted:
                    self._guess(f"{_SHAPES}[{key!r}]", (holder, key), wanted.pop(key))
                    holders.add(holder)
                    break
        firsts = (leaf.keys[0] for leaf in self._inputs.graph_inputs)
        meant = assign(
            [
                key
                for key in wanted
                if key in arguments or key not in self._inputs.signature.parameters
            ],
            [name for name in arguments if name not in holders],
            fits=lambda key, name: self._fits((name,), wanted[key]),
            aliases=dict(zip(names_of(options, "input_names"), firsts, strict=False)),
            outputs=names_of(options, "output_names"),
        )
        for key, name in meant.items():
            if name is not None and name != key:
                self._guess(f"{_SHAPES}[{key!r}]", (name,), wanted[key])

    def _whole(self, spelling: str, keys: Keys, value: Any, spec: Any) -> None:
        number = isinstance(value, int) and not isinstance(value, bool)
        if number and not is_hint(spec):
            expected = f"None, or Dim.DYNAMIC to keep it open: the argument is the number {value}"
        elif not number and (value is None or isinstance(value, bool | float | complex | str)):
            expected = f"None: the argument is {describe(value)}, not a tensor"
        else:
            self.entries.append(Entry(keys, value, None, spec, spelling))
            return
        self._say(spelling, describe(spec), expected)

    def _container(self, spelling: str, keys: Keys, value: Any, spec: Any) -> None:
        inside, wanted = children(value) or {}, children(spec)
        alike = isinstance(spec, dict) if isinstance(value, dict) else type(spec) is type(value)
        if wanted is not None and alike and set(wanted) == set(inside):
            if not wanted:
                self.spellings[keys] = spelling
            for key, inner in wanted.items():
                self.walk(below(spelling, value, key), (*keys, key), inside[key], inner)
            return
        self._say(spelling, *_misfit(value, spec, alike=alike))
        try:
            pairs = self._pairs(keys, inside, spec)
        except UnclearError:
            self.unclear = True
            return
        for key in inside:
            self._guess(below(spelling, value, key), (*keys, key), pairs.get(key))

    def _pairs(self, keys: Keys, inside: dict[Any, Any], spec: Any) -> Mapping[Any, Any]:
        """What was meant for each part of a container."""
        wanted = children(spec)
        if spec is None:
            return {}
        if wanted is None or len(wanted) > len(inside):
            raise UnclearError
        if not isinstance(spec, dict):
            return dict(zip(inside, wanted.values(), strict=False))
        if not isinstance(self._inputs[keys], dict):
            if not set(wanted) <= set(inside):
                raise UnclearError
            return wanted
        meant = assign(
            wanted, inside, fits=lambda key, name: self._fits((*keys, name), wanted[key])
        )
        return {name: wanted[key] for key, name in meant.items()}

    def _tensor(self, spelling: str, keys: Keys, tensor: torch.Tensor, spec: Any) -> None:
        rank, listed = tensor.dim(), isinstance(spec, list | tuple)
        if spec is None:
            return
        if isinstance(spec, dict) or (listed and len(spec) == rank):
            for index, dim in (children(spec) or {}).items():
                self._dimension(f"{spelling}[{index!r}]", keys, tensor, index, dim)
            return
        found, shape = describe(spec), describe(tensor)
        expected = f"a dict {{index: dim}} for {shape}, such as {{0: 'batch'}}, or None"
        if listed:
            found = f"{found}, {len(spec)} long"
            expected = f"{rank}, one for each dimension of {shape}; or a dict {{index: dim}}"
        self._say(spelling, found, expected)
        meant = _meant_dims(spec, rank)
        self.unclear |= meant is None
        self.guesses += [
            Entry(keys, tensor, axis, dim, f"{spelling}[{axis}]")
            for axis, dim in (meant or {}).items()
        ]

    def _dimension(
        self, spelling: str, keys: Keys, tensor: torch.Tensor, index: Any, dim: Any
    ) -> None:
        rank = tensor.dim()
        if not hasattr(index, "__index__"):
            self._say(
                spelling, f"{index!r} as index of a dimension", f"an int from 0 to {rank - 1}"
            )
            text = str(index)
            if text.lstrip("-").isdecimal() and int(text) in range(-rank, rank):
                self.guesses.append(Entry(keys, tensor, int(text) % rank, dim, spelling))
            else:
                self.unclear |= rank > 0 and not is_static(dim)
        elif not -rank <= index < rank:
            last = f"an index from 0 to {rank - 1}: the input is {describe(tensor)}"
            expected = last if rank else "no entry: the input is a scalar"
            self._say(spelling, f"index {index}", expected)
            self.unclear |= rank > 0 and not is_static(dim)
        else:
            if index < 0 and not is_static(dim) and (is_derived(dim) or not is_named(dim)):
                found = f"the negative index {index}, which torch quietly ignores"
                self._say(spelling, found, str(index + rank))
            self.entries.append(Entry(keys, tensor, int(index) % rank, dim, spelling))


def _misfit(value: Any, spec: Any, *, alike: bool) -> tuple[str, str]:
    """How a request differs from the container that it speaks of: what was found and what was expected."""
    inside, wanted = children(value) or {}, children(spec)
    if wanted is None or not alike:
        kind = type(value).__name__
        kind = f"the named tuple {kind}" if is_namedtuple(value) else f"a {kind}"
        size = f", with {count(len(inside), 'entry')}" if inside else ", empty"
        return describe(spec), f"{kind} like the argument{size}"
    if not isinstance(value, dict):
        return count(len(wanted), "entry"), f"{len(inside)}, as many as the argument has"
    missing = [key for key in inside if key not in wanted]
    extra = [key for key in wanted if key not in inside]
    more = f"an entry for {quoted(extra)}, which the argument does not have"
    found = f"no entry for {quoted(missing)}" if missing else more
    return found, f"an entry for each of {quoted(inside)}"


def _meant_dims(spec: Any, rank: int) -> dict[int, Any] | None:
    """The dimensions of a tensor that were meant by something that is no dict; None: it cannot be told."""
    if rank == 0 or is_hint(spec) or isinstance(spec, str) or is_named(spec):
        return dict.fromkeys(range(rank if is_hint(spec) else min(rank, 1)), spec)
    if not isinstance(spec, list | tuple | set):
        return None
    if spec and all(type(index) is int for index in spec):  # indices, as in dynamic_axes
        within = all(index in range(-rank, rank) for index in spec)
        return {index % rank: Dim.DYNAMIC for index in spec} if within else None
    if isinstance(spec, set) or any(dim is not None for dim in spec[rank:]):
        return None
    return dict(enumerate(spec[:rank]))
