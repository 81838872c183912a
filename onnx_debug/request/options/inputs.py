"""The inputs of a request, under the names that its options have for them."""

from __future__ import annotations

import inspect
import re
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch.export import Dim

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
        return tuple(
            leaf for name, value in self.arguments.items() for leaf in self._leaves((name,), value)
        )

    @cached_property
    def graph_inputs(self) -> tuple[Leaf, ...]:
        """The tensors, in the order of the graph's inputs: the call's order, not the signature's."""
        by_call = (
            leaf for keys in self.call_order for leaf in self._leaves(keys, self.value(keys))
        )
        return tuple(leaf for leaf in by_call if leaf.is_tensor)

    @cached_property
    def traced_inputs(self) -> tuple[Leaf, ...]:
        """The inputs of the legacy exporter's graph: it fills in defaults and takes numbers for inputs too."""
        bound = inspect.BoundArguments(self.signature, dict(self.arguments))
        bound.apply_defaults()
        return tuple(
            leaf
            for name, value in bound.arguments.items()
            for leaf in self._leaves((name,), value)
            if leaf.value is not None
        )

    @property
    def has_opaque(self) -> bool:
        """Whether inputs cannot be counted."""
        return any(leaf.is_opaque for leaf in self.leaves)

    @cached_property
    def keyword_catcher(self) -> str | None:
        """The name of the `**` parameter, if this call puts something in it."""
        caught = (p.name for p in self.signature.parameters.values() if p.kind is p.VAR_KEYWORD)
        return next((name for name in caught if self.arguments.get(name)), None)

    def value(self, keys: Keys) -> Any:
        """What stands at `keys`."""
        found: Any = self.arguments
        for key in keys:
            found = getattr(found, key) if is_namedtuple(found) else found[key]
        return found

    def _leaves(self, keys: Keys, value: Any) -> Iterator[Leaf]:
        below = children(value)
        if below is None:
            named = keys[1:] if keys[0] == self.keyword_catcher else keys
            yield Leaf(keys, "_".join(map(str, named)), value)
        for key, child in (below or {}).items():
            yield from self._leaves((*keys, key), child)


def read_inputs(model: Any, args: Any, kwargs: Any) -> Inputs | None:
    """The inputs of a call, or None where the arguments do not fit `forward` or Python cannot tell."""
    signature = forward_signature(model)
    args, kwargs = split_arguments(args, kwargs)
    try:
        if signature is None:
            return None
        arguments = signature.bind(*args, **kwargs).arguments
        positional = signature.bind_partial(*args).arguments
    except TypeError:
        return None
    order: list[Keys] = [(name,) for name in positional]
    for name in kwargs:
        if name in arguments and name in signature.parameters:
            order.append((name,))
        else:
            order += [
                (catcher, name)
                for catcher in arguments
                if catcher not in positional and catcher not in kwargs
            ]
    return Inputs(signature, dict(arguments), tuple(order))


def forward_signature(model: Any) -> inspect.Signature | None:
    """The signature of `forward`, or None: some models bring their own inputs, and some forwards hide theirs."""
    if isinstance(
        model, (torch.export.ExportedProgram, getattr(torch.onnx, "ExportableModule", ()))
    ) or not callable(getattr(model, "forward", None)):
        return None
    try:
        return inspect.signature(model.forward)
    except (TypeError, ValueError):
        return None


def split_arguments(args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Read `args` as torch does: a bare tensor is one argument, a dict at the end holds the keyword arguments when no others are given."""
    if not isinstance(args, tuple | list):
        args = (args,)
    if not kwargs and args and isinstance(args[-1], dict):
        return tuple(args[:-1]), args[-1]
    return tuple(args), dict(kwargs or {})


def children(value: Any) -> dict[Any, Any] | None:
    """What a plain container holds, by key; None for everything else. Subclasses other than named tuples are not looked into."""
    if is_namedtuple(value):
        return dict(value._asdict())
    if isinstance(value, dict):
        return dict(value)
    if type(value) in (list, tuple):
        return dict(enumerate(value))
    return None


def is_namedtuple(value: Any) -> bool:
    """Whether `value` is an instance of a named tuple."""
    return isinstance(value, tuple) and hasattr(value, "_fields")


def below(entry: str, holder: Any, key: Any) -> str:
    """How the user would write what stands at `key` of `holder`."""
    return f"{entry}.{key}" if is_namedtuple(holder) else f"{entry}[{key!r}]"


def describe(value: Any) -> str:
    """A value in a few plain words."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {list(value.shape)}"
    if isinstance(value, type(Dim.AUTO)):
        return f"Dim.{value.type.name}"
    if is_namedtuple(value):
        return f"the named tuple {type(value).__name__}"
    if isinstance(value, list | tuple | dict | set) and len(value) > 1:
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, type):
        return f"the class {value.__name__} itself"
    return reprlib.repr(value)


def count(number: int, one: str, many: str) -> str:
    """A number and its noun."""
    return f"{number} {one if number == 1 else many}"


def identifier(name: str) -> str:
    """`name` as a Python identifier."""
    word = re.sub(r"\W", "_", name)
    return word if word.isidentifier() else f"_{word}"


def quoted(names: Any) -> str:
    """Names as a list in a sentence."""
    return ", ".join(repr(name) for name in names)
