"""Any Python value as its tensors plus a template, and back.

Modules hand each other dataclasses, caches, packed sequences and nested containers. The pickle
protocol already knows how to take all of them apart; its persistent ids let the tensors (and
symbolic numbers) out on the way. So one mechanism serves recording, moving values between
processes, and exporting a submodule through a wrapper that has only tensors at its border. What
pickle cannot import, `identity` finds again.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from onnx_debug.eager import identity
from onnx_debug.torch_private import symbols, tensors


class PackingError(Exception):
    """The value holds something that cannot be taken apart, such as a lock or a generator."""


@dataclass(frozen=True)
class Packed:
    """A value taken apart.

    Attributes:
        template: what is left of it, with numbered holes.
        leaves: the tensors and symbolic numbers that fill the holes.
    """

    template: bytes
    leaves: tuple[Any, ...]

    def tensors(self) -> list[torch.Tensor]:
        """The leaves that are tensors."""
        return [leaf for leaf in self.leaves if isinstance(leaf, torch.Tensor)]


def pack(value: Any) -> Packed:
    """Take `value` apart.

    Raises:
        PackingError: a part of it cannot be pickled.
    """
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL)
    try:
        pickler.dump(value)
    except Exception as error:
        raise PackingError(f"{type(error).__name__}: {error}") from error
    if any(
        isinstance(leaf, torch.Tensor) and tensors.is_transformed(leaf) for leaf in pickler.leaves
    ):
        raise PackingError(
            "a tensor inside a torch.func transform, such as vmap or grad, has no value of its own"
        )
    return Packed(buffer.getvalue(), tuple(pickler.leaves))


def unpack(template: bytes, leaves: Sequence[Any]) -> Any:
    """Put `leaves` back into the template."""
    return _Unpickler(io.BytesIO(template), leaves).load()


@dataclass(frozen=True)
class Hole:
    """The place of a leaf in a plain structure."""

    index: int


def plain(value: Any, leaves: Sequence[Any]) -> tuple[Any] | None:
    """`value` with `Hole`s in place of its leaves, in a 1-tuple; None when it is not made of tuples, lists, dicts and constants alone.

    Dynamo can trace the way back from this form, not an unpickler.
    """
    positions = {id(leaf): index for index, leaf in enumerate(leaves)}

    def take_apart(part: Any) -> Any:
        if id(part) in positions:
            return Hole(positions[id(part)])
        if type(part) in (tuple, list):
            return type(part)(take_apart(item) for item in part)
        if type(part) is dict:
            return {key: take_apart(item) for key, item in part.items()}
        if part is None or isinstance(
            part, bool | int | float | complex | str | torch.dtype | torch.device
        ):
            return part
        raise PackingError(type(part).__name__)

    try:
        return (take_apart(value),)
    except PackingError:
        return None


def fill(structure: Any, leaves: Sequence[Any]) -> Any:
    """Put `leaves` into the holes of a plain structure."""
    if isinstance(structure, Hole):
        return leaves[structure.index]
    if isinstance(structure, tuple):
        return tuple([fill(item, leaves) for item in structure])
    if isinstance(structure, list):
        return [fill(item, leaves) for item in structure]
    if isinstance(structure, dict):
        return {key: fill(item, leaves) for key, item in structure.items()}
    return structure


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol)
        self.leaves: list[Any] = []
        self._seen: dict[int, int] = {}

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, torch.Tensor) or symbols.is_symbolic(obj):
            if id(obj) not in self._seen:
                self._seen[id(obj)] = len(self.leaves)
                self.leaves.append(obj)
            return self._seen[id(obj)]
        return identity.address(obj)

    def reducer_override(self, obj: Any) -> Any:
        return identity.taken_apart(obj)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, leaves: Sequence[Any]) -> None:
        super().__init__(file)
        self._leaves = leaves

    def persistent_load(self, pid: Any) -> Any:
        if isinstance(pid, int):
            return self._leaves[pid]
        try:
            return identity.at(pid)
        except LookupError as error:
            raise PackingError(str(error)) from error
