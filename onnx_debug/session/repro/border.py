"""A module around another one, with tensors only at its border: caches, dataclasses and packed sequences stay inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from onnx_debug.eager.packing import unpack
from onnx_debug.session.repro.values import Values, Written
from onnx_debug.trial.submodule import AloneInputs

_MOST_DEPTH = 8


def caller(
    values: Values, inputs: AloneInputs, names: Sequence[str], returned: list[str] | None
) -> str:
    """The class `Caller`: it makes the module's arguments of tensors, and takes the tensors of what it returns.

    Args:
        values: writes the arguments.
        inputs: what the module is given.
        names: the parameters of the forward, one for each leaf.
        returned: expressions for the tensors in `returned`; None where it is not known what that is.
    """
    leaves: list[Any] = []
    for name, leaf, number in zip(names, inputs.leaves, inputs.numbers, strict=True):
        if number:
            read = f"{name}.shape[0]" if number == "size" else f"{name}.item()"
            leaves.append(Written(read))
        else:
            leaves.append(leaf)
            values.named[id(leaf)] = name
    args, kwargs = unpack(inputs.template, leaves)
    given = [values.code(value) for value in args]
    given += [f"{key}={values.code(value)}" for key, value in kwargs.items()]
    for leaf in inputs.leaves:
        values.named.pop(id(leaf), None)
    taken = ", ".join(dict.fromkeys(returned)) if returned else "returned"
    return f'''class Caller(nn.Module):
    """Calls the module as the model does, with tensors only at the border."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        self.training = module.training

    def forward({", ".join(["self", *names])}):
        returned = self.module({", ".join(given)})
        return {taken}'''


def paths(value: Any, name: str) -> list[str]:
    """The expressions that lead from a value to its tensors."""
    return list(_paths(value, name, 0, {}))


def _paths(value: Any, name: str, depth: int, seen: dict[int, None]) -> Iterator[str]:
    if id(value) in seen or depth > _MOST_DEPTH:
        return
    seen[id(value)] = None
    if isinstance(value, torch.Tensor):
        yield name
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for field in value._fields:
            yield from _paths(getattr(value, field), f"{name}.{field}", depth + 1, seen)
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from _paths(item, f"{name}[{index}]", depth + 1, seen)
    elif isinstance(value, dict) and not dataclasses.is_dataclass(value):
        for key, item in value.items():
            yield from _paths(item, f"{name}[{key!r}]", depth + 1, seen)
    else:
        for key, item in getattr(value, "__dict__", {}).items():
            yield from _paths(item, f"{name}.{key}", depth + 1, seen)
