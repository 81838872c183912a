"""The inputs of a request, under the names that its options have for them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

Keys = tuple[Any, ...]

_BASIC = (torch.Tensor, int, float, complex, str, bytes, type(None))


@dataclass(frozen=True)
class Leaf:
    """One value inside the arguments: `keys` leads to it, argument name first. `name` is what the exporter calls the input."""

    keys: Keys
    name: str
    value: Any

    @property
    def is_tensor(self) -> bool:
        """Whether it becomes an input of the graph by itself."""
        return isinstance(self.value, torch.Tensor)

    @property
    def is_opaque(self) -> bool:
        """Whether it may hold inputs that only torch's pytree registry can see (a cache, a registered dataclass)."""
        return not isinstance(self.value, _BASIC)


@dataclass(frozen=True)
class Inputs:
    """What `forward` is called with.

    Attributes:
        arguments: by parameter name, as `inspect.Signature.bind` gives them; this is what
            dynamic_shapes must match.
        call_order: keys of the arguments in the order of the call: positional ones, then keywords
            as written.
    """

    signature: inspect.Signature
    arguments: dict[str, Any]
    call_order: tuple[Keys, ...]

    @cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        """Every leaf, in the order of the signature."""
        return tuple(self._leaves_of(self.arguments))

    @cached_property
    def graph_inputs(self) -> tuple[Leaf, ...]:
        """The tensors, in the order of the graph's inputs: the call's order, not the signature's."""
        by_call = (leaf for keys in self.call_order for leaf in self._leaves(keys, self[keys]))
        return tuple(leaf for leaf in by_call if leaf.is_tensor)

    @cached_property
    def traced_inputs(self) -> tuple[Leaf, ...]:
        """The inputs of the legacy exporter's graph: it fills in defaults and takes numbers for inputs too."""
        bound = inspect.BoundArguments(self.signature, dict(self.arguments))
        bound.apply_defaults()
        return tuple(leaf for leaf in self._leaves_of(bound.arguments) if leaf.value is not None)

    @property
    def has_opaque(self) -> bool:
        """Whether inputs cannot be counted."""
        return any(leaf.is_opaque for leaf in self.leaves)

    @cached_property
    def keyword_catcher(self) -> str | None:
        """The name of the `**` parameter, if this call puts something in it."""
        caught = (p.name for p in self.signature.parameters.values() if p.kind is p.VAR_KEYWORD)
        return next((name for name in caught if self.arguments.get(name)), None)

    def __getitem__(self, keys: Keys) -> Any:
        """What stands at `keys`."""
        found: Any = self.arguments
        for key in keys:
            found = getattr(found, key) if is_namedtuple(found) else found[key]
        return found

    def _leaves_of(self, arguments: Mapping[str, Any]) -> Iterator[Leaf]:
        for name, value in arguments.items():
            yield from self._leaves((name,), value)

    def _leaves(self, keys: Keys, value: Any) -> Iterator[Leaf]:
        inside = children(value)
        if inside is None:
            named = keys[1:] if keys[0] == self.keyword_catcher else keys
            yield Leaf(keys, "_".join(map(str, named)), value)
        for key, child in (inside or {}).items():
            yield from self._leaves((*keys, key), child)


def read_inputs(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Inputs | None:
    """The inputs of a call, or None where the arguments do not fit `forward` or Python cannot tell."""
    signature = forward_signature(model)
    try:
        if signature is None:
            return None
        arguments = signature.bind(*args, **kwargs).arguments
        positional = signature.bind_partial(*args).arguments
    except TypeError:
        return None
    order: list[Keys] = [(name,) for name in positional]
    catcher = next((name for name in arguments if name not in {*positional, *kwargs}), "")
    for name in kwargs:
        by_name = name in arguments and name in signature.parameters
        order.append((name,) if by_name else (catcher, name))
    return Inputs(signature, dict(arguments), tuple(order))


def forward_signature(model: Any) -> inspect.Signature | None:
    """The signature of `forward`, or None where Python cannot tell."""
    try:
        return inspect.signature(model.forward)
    except (AttributeError, TypeError, ValueError):
        return None


def children(value: Any) -> dict[Any, Any] | None:
    """What a plain container holds, by key; None for everything else. Subclasses other than named tuples are not looked into."""
    if is_namedtuple(value):
        return dict(value._asdict())
    if isinstance(value, dict):
        return dict(value)
    if type(value) in (list, tuple):
        return dict(enumerate(value))
    return None


def like(value: Any, entries: Mapping[Any, Any]) -> Any:
    """A container of the kind of `value`."""
    if is_namedtuple(value):
        return type(value)(**entries)
    return dict(entries) if isinstance(value, dict) else type(value)(entries.values())


def is_namedtuple(value: Any) -> bool:
    """Whether `value` is an instance of a named tuple."""
    return isinstance(value, tuple) and hasattr(value, "_fields")


def below(spelling: str, holder: Any, key: Any) -> str:
    """How the user would write what stands at `key` of `holder`."""
    return f"{spelling}.{key}" if is_namedtuple(holder) else f"{spelling}[{key!r}]"


def names_of(options: Mapping[str, Any], option: str) -> list[str]:
    """input_names or output_names as a list, whatever stands there."""
    names = options.get(option)
    listed = names if isinstance(names, list | tuple) else ()
    return [name for name in listed if isinstance(name, str)]
