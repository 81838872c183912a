"""How a module that was made anew differs from the one that it shall stand for."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

_ABSENT = object()


@dataclass
class Differences:
    """What has to be done to a module of the same structure.

    Attributes:
        conversion: what turns its parameters into the right type: ".double()", or empty.
        attributes: those that have other values, each with the path of its module.
        hooks: paths of the modules whose hooks it lacks.
    """

    conversion: str = ""
    attributes: list[tuple[str, str]] = field(default_factory=list)
    hooks: set[str] = field(default_factory=set)


def differences(wanted: nn.Module, made: nn.Module) -> Differences | None:
    """What differs; None where the structure does."""
    names = [name for name, _ in wanted.named_modules(remove_duplicate=False)]
    if names != [name for name, _ in made.named_modules(remove_duplicate=False)]:
        return None
    found = Differences(_conversion(wanted, made))
    if found.conversion:
        made = made.to(next(_floating(wanted)).dtype)
    for name, one in wanted.named_modules():
        other = made.get_submodule(name)
        if type(one) is not type(other) or not _same_tensors(one, other):
            return None
        # Attributes that a module does not get by itself have to be set, whatever they hold.
        found.attributes += [
            (name, key)
            for key in own_attributes(one)
            if not _equal(one.__dict__[key], other.__dict__.get(key, _ABSENT))
        ]
        found.attributes += [
            (name, key)
            for key, value in one._buffers.items()
            if value is not None and not _equal(value, other._buffers[key])
        ]
        hooks = len(one._forward_hooks) + len(one._forward_pre_hooks)
        if hooks > len(other._forward_hooks) + len(other._forward_pre_hooks):
            found.hooks.add(name)
    return found


def own_attributes(module: nn.Module) -> list[str]:
    """The instance's own attributes, without those of every module."""
    usual = vars(nn.Module())
    return [name for name in module.__dict__ if name not in usual]


def _same_tensors(one: nn.Module, other: nn.Module) -> bool:
    for mine, its in ((one._parameters, other._parameters), (one._buffers, other._buffers)):
        if list(mine) != list(its):
            return False
        for key, tensor in mine.items():
            twin = its[key]
            if (tensor is None) != (twin is None):
                return False
            if tensor is not None and twin is not None and _form(tensor) != _form(twin):
                return False
    return True


def _form(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tuple(tensor.shape), tensor.dtype


def _floating(module: nn.Module) -> Iterator[torch.Tensor]:
    tensors = (*module.parameters(), *module.buffers())
    return (tensor for tensor in tensors if tensor.is_floating_point())


def _conversion(wanted: nn.Module, made: nn.Module) -> str:
    """What converts all parameters, where the wanted ones have one type and the made ones another."""
    types = {tensor.dtype for tensor in _floating(wanted)}
    others = {tensor.dtype for tensor in _floating(made)}
    return f".to({next(iter(types))})" if len(types) == 1 and types != others else ""


def _equal(one: Any, other: Any) -> bool:  # noqa: PLR0911 - one kind of value after the other
    if one is other:
        return True
    if isinstance(one, torch.Tensor):
        if not isinstance(other, torch.Tensor) or _form(one) != _form(other):
            return False
        return other.is_meta or torch.equal(one.cpu(), other.cpu())
    if type(one) is not type(other):
        return False
    if isinstance(one, types.FunctionType):
        return one.__code__ is other.__code__
    # A lock or a plain object equals only itself: what the constructor makes is as good.
    if isinstance(one, nn.Module) or getattr(type(one), "__eq__", None) is object.__eq__:
        return True
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - a class may compare as it likes
        return False
