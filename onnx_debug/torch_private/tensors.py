"""Private parts of tensors and of nested values. Tried on torch 2.13."""

from __future__ import annotations

from typing import Any

import torch


def tree_leaves(value: Any) -> list[Any]:
    """The leaves of nested arguments or outputs, in the order in which both exporters flatten them.

    Without the private name only tuples, lists and dicts are taken apart.
    """
    try:
        from torch.utils._pytree import tree_leaves as leaves
    except ImportError:
        return _leaves(value)
    return list(leaves(value))


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for held in value.values() for leaf in _leaves(held)]
    if isinstance(value, tuple | list):
        return [leaf for held in value for leaf in _leaves(held)]
    return [value]


def is_transformed(tensor: torch.Tensor) -> bool:
    """True for what a function sees under `torch.func.vmap` or `grad`: it means nothing outside of it.

    Without the private name such tensors are copied like others, which fails.
    """
    functorch = getattr(torch._C, "_functorch", None)
    wrapped = getattr(functorch, "is_functorch_wrapped_tensor", None)
    return wrapped is not None and bool(wrapped(tensor))


def version(value: Any) -> int | None:
    """How often a tensor was changed in place; None where that is not counted.

    Without the private name a change in place is not seen, and a clone is made at every use.
    """
    if not isinstance(value, torch.Tensor) or value.is_inference():
        return None
    counted = getattr(value, "_version", None)
    return None if counted is None else int(counted)
