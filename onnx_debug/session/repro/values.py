"""Python values as expressions that make them again."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import math
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from onnx_debug.session.repro.source import Definitions, NotWritableError

_MOST_NUMBERS = 48  # of one tensor, that are written out; whole numbers may be four times as many

# What makes an object without its constructor, whose arguments are not known.
REBUILT = '''def rebuilt(kind, **state):
    """An object with these attributes, made without its constructor."""
    made = kind.__new__(kind)
    made.__dict__.update(state)
    return made'''


@dataclasses.dataclass(frozen=True)
class Written:
    """Stands for a value whose expression is known."""

    code: str


class Values:
    """Writes values as code.

    Args:
        exact: large tensors go to a file beside the script; otherwise random values of the same
            kind stand for them.

    Attributes:
        definitions: what the expressions use.
        saved: the tensors for that file, by name.
        named: what tensors are called that stand in a variable, by `id`.
    """

    def __init__(self, *, exact: bool) -> None:
        self.definitions = Definitions(self.code)
        self.saved: dict[str, torch.Tensor] = {}
        self.named: dict[int, str] = {}
        self._exact = exact
        self._inside: list[int] = []

    def code(self, value: Any) -> str:
        """The expression for a value.

        Raises:
            NotWritableError: there is none.
        """
        if id(value) in self.named:
            return self.named[id(value)]
        if isinstance(value, Written):
            return value.code
        if id(value) in self._inside:
            raise NotWritableError(f"a {type(value).__name__} holds itself")
        self._inside.append(id(value))
        try:
            return self._code(value)
        finally:
            self._inside.pop()

    def _code(self, value: Any) -> str:
        for kind, write in self._writers():
            if type(value) is kind:
                return write(value)
        if isinstance(value, torch.Tensor):
            return self.tensor(value)
        if isinstance(value, nn.Module):
            raise NotWritableError(f"a module {type(value).__name__} is held outside of the tree")
        if isinstance(value, enum.Enum):
            return f"{self.definitions.refer(type(value))}.{value.name}"
        if isinstance(value, type | types.FunctionType):
            return self._definition(value)
        if isinstance(value, types.BuiltinFunctionType):
            return _builtin(value)
        return self._instance(value)

    def _writers(self) -> tuple[tuple[type, Callable[[Any], str]], ...]:
        plain = (bool, int, str, bytes, type(None), type(...), range)
        constants = (torch.dtype, torch.layout, torch.memory_format)
        return (
            *((kind, repr) for kind in plain),
            *((kind, str) for kind in constants),
            (float, _number),
            (complex, repr),
            (torch.device, lambda device: f"torch.device({str(device)!r})"),
            (torch.Size, lambda size: f"torch.Size({list(size)})"),
            (torch.export.Dim, _dim),
            (type(torch.export.Dim.AUTO), lambda hint: f"torch.export.Dim.{hint.type.name}"),
            (torch._ops.OpOverload, lambda operator: f"torch.ops.{operator}"),
            (tuple, lambda items: f"({self._items(items)}{',' if len(items) == 1 else ''})"),
            (list, lambda items: f"[{self._items(items)}]"),
            (set, lambda items: f"set([{self._items(sorted(items, key=repr))}])"),
            (frozenset, lambda items: f"frozenset([{self._items(sorted(items, key=repr))}])"),
            (dict, self._dict),
            (collections.OrderedDict, self._ordered),
            (functools.partial, self._partial),
            (slice, lambda s: f"slice({self._items((s.start, s.stop, s.step))})"),
        )

    def _items(self, items: Any) -> str:
        return ", ".join(map(self.code, items))

    def _dict(self, items: dict[Any, Any]) -> str:
        return "{" + ", ".join(f"{self.code(k)}: {self.code(v)}" for k, v in items.items()) + "}"

    def _ordered(self, items: dict[Any, Any]) -> str:
        return f"{self.definitions.refer(collections.OrderedDict)}({self._dict(items)})"

    def _partial(self, made: functools.partial[Any]) -> str:
        parts = [made.func, *made.args]
        named = [f"{name}={self.code(value)}" for name, value in made.keywords.items()]
        return f"{self.definitions.refer(functools.partial)}({', '.join([*map(self.code, parts), *named])})"

    def _definition(self, value: Any) -> str:
        if value.__name__ == "<lambda>":
            raise NotWritableError("a lambda has no name to define it by")
        return self.definitions.refer(value)

    def tensor(self, tensor: torch.Tensor) -> str:
        """A tensor: its numbers where they are few, else random ones or those of a file."""
        if (
            tensor.layout is not torch.strided
            or tensor.is_quantized
            or type(tensor)
            not in (
                torch.Tensor,
                nn.Parameter,
            )
        ):
            raise NotWritableError(f"a tensor of the kind {tensor.layout} cannot be written")
        plain = tensor.detach().cpu()
        most = (
            _MOST_NUMBERS if plain.is_floating_point() or plain.is_complex() else 4 * _MOST_NUMBERS
        )
        if not plain.numel():
            return f"torch.empty({list(plain.shape)}{_dtype(plain)})"
        if plain.numel() <= most and plain.is_contiguous():
            return f"torch.tensor({_numbers(plain)}{_dtype(plain)})"
        if self._exact:
            name = f"tensor_{len(self.saved)}"
            self.saved[name] = plain
            return f"saved[{name!r}]"
        return _random(plain)

    def _instance(self, value: Any) -> str:
        kind = type(value)
        if isinstance(value, np.ndarray | np.generic):
            return f"{self.tensor(torch.as_tensor(value))}.numpy(){'' if value.ndim else '[()]'}"
        if isinstance(value, tuple) and hasattr(value, "_asdict"):
            return self._call(kind, value._asdict())
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [one.name for one in dataclasses.fields(value) if one.init]
            return self._call(kind, {name: getattr(value, name) for name in names})
        state = getattr(value, "__dict__", None)
        if state is None or hasattr(kind, "__slots__"):
            raise NotWritableError(
                f"a {kind.__module__}.{kind.__qualname__} cannot be written as code"
            )
        return self._from_defaults(kind, state) or self._rebuilt(kind, state)

    def _from_defaults(self, kind: type, state: dict[str, Any]) -> str:
        """The constructor with the attributes that are not as it sets them by itself; empty where that makes another object."""
        try:
            usual = vars(kind())
            other = {k: v for k, v in state.items() if k not in usual or usual[k] != v}
            same = bool(vars(kind(**other)) == state)
        except Exception:  # noqa: BLE001 - whatever the user's constructor raises
            return ""
        return self._call(kind, other) if same else ""

    def _rebuilt(self, kind: type, state: dict[str, Any]) -> str:
        if REBUILT not in self.definitions.texts:
            self.definitions.texts.insert(0, REBUILT)
        return self._call("rebuilt", state, kind)

    def _call(self, called: Any, keywords: dict[str, Any], *first: Any) -> str:
        name = called if isinstance(called, str) else self.definitions.refer(called)
        named = [f"{key}={self.code(value)}" for key, value in keywords.items()]
        return f"{name}({', '.join([*map(self.code, first), *named])})"


def _number(value: float) -> str:
    return repr(value) if math.isfinite(value) else f'float("{value}")'


def _dim(dim: Any) -> str:
    if hasattr(dim, "root"):
        raise NotWritableError(f"the dimension {dim.__name__} is computed from another one")
    limits = {"min": dim.min, "max": dim.max}
    given = [f"{k}={v}" for k, v in limits.items() if isinstance(v, int) and (k, v) != ("min", 0)]
    return f"torch.export.Dim({', '.join([repr(dim.__name__), *given])})"


def _builtin(function: types.BuiltinFunctionType) -> str:
    """A function of C, by a place where it is found."""
    for place in ("torch", "torch.nn.functional", "torch.Tensor", "torch.special", "torch.linalg"):
        found: Any = torch
        for part in place.split(".")[1:]:
            found = getattr(found, part)
        if getattr(found, function.__name__, None) is function:
            return f"{place}.{function.__name__}"
    raise NotWritableError(f"the built-in {function.__name__} cannot be written as code")


def _dtype(tensor: torch.Tensor) -> str:
    usual = torch.float32, torch.int64, torch.bool
    return "" if tensor.dtype in usual and tensor.numel() else f", dtype={tensor.dtype}"


def _numbers(tensor: torch.Tensor) -> str:
    """The nested lists of its elements; nine digits tell every float32."""

    def write(item: Any) -> str:
        if isinstance(item, list):
            return f"[{', '.join(map(write, item))}]"
        if isinstance(item, float):
            short = tensor.dtype is not torch.float64
            return _number(float(f"{item:.9g}") if short else item)
        return repr(item)

    return write(tensor.tolist())


def _random(tensor: torch.Tensor) -> str:
    """Random values with the same type, sizes and order of strides; whole numbers from the same range."""
    strides = tensor.stride()
    order = sorted(range(tensor.dim()), key=lambda axis: -strides[axis])
    plain = order == list(range(tensor.dim()))
    sizes = [tensor.shape[axis] for axis in order]
    if tensor.dtype is torch.bool:
        made = f"torch.rand({sizes}) > 0.5"
        made = made if plain else f"({made})"
    elif tensor.is_floating_point() or tensor.is_complex():
        dtype = "" if tensor.dtype is torch.float32 else f", dtype={tensor.dtype}"
        made = f"torch.randn({sizes}{dtype})"
    else:
        low, high = int(tensor.min()), int(tensor.max()) + 1
        dtype = "" if tensor.dtype is torch.int64 else f", dtype={tensor.dtype}"
        made = f"torch.randint({low}, {high}, {sizes}{dtype})"
    return (
        made if plain else f"{made}.permute({[order.index(axis) for axis in range(tensor.dim())]})"
    )
