"""What the first call of a model sets and the second leaves: a scale or a table, made from the first inputs.

An exported file holds it as the inputs of the export set it (`MultiScaleRoIAlign` of torchvision),
so that eager has to answer other inputs from that state too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from onnx_debug.torch_private import tensors


def set_for_good(model: nn.Module, call: Callable[[], object]) -> tuple[str, ...]:
    """Names of the attributes that one call sets and another leaves as they are; nothing where each call sets some anew.

    Args:
        model: the model.
        call: calls it once; it is called once more where the first call sets anything.
    """
    before = _attributes(model)
    call()
    after = _attributes(model)
    names = _changed(before, after)
    if not names:
        return ()
    call()
    return () if _changed(after, _attributes(model)) else names


def _attributes(model: nn.Module) -> dict[str, tuple[Any, ...]]:
    return {
        f"{path}.{name}".lstrip("."): _parts(value)
        for path, module in model.named_modules()
        for name, value in vars(module).items()
    }


def _parts(value: Any) -> tuple[Any, ...]:
    """What tells two states of an attribute apart. Parameters and buffers, in dicts, count by name: training writes to them."""
    if isinstance(value, torch.Tensor):
        return value, tensors.version(value)
    return tuple(value) if isinstance(value, dict | list | tuple) else (value,)


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name, parts in after.items() if not _same(before.get(name), parts))


def _same(one: tuple[Any, ...] | None, other: tuple[Any, ...]) -> bool:
    return (
        one is not None
        and len(one) == len(other)
        and all(
            a is b or (type(a) is type(b) and isinstance(a, int | float | str) and a == b)
            for a, b in zip(one, other, strict=True)
        )
    )
