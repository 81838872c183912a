"""Copies of what passes between modules, within a budget of memory."""

from __future__ import annotations

import weakref
from typing import Any

import torch

from onnx_debug.torch_private import tensors


class NoRoomError(Exception):
    """There are more values than may be kept."""


class CloneOnce:
    """Clones a tensor once per version: an activation is the output of one module and the input of the next.

    Args:
        room: bytes that all clones may take; None: no limit.
    """

    def __init__(self, room: int | None = None) -> None:
        self._room = room
        self._known: dict[int, tuple[Any, int | None, torch.Tensor]] = {}

    def __call__(self, leaf: Any) -> Any:
        """A detached copy that keeps values, strides and `requires_grad`."""
        if not isinstance(leaf, torch.Tensor):
            return leaf
        known = self._known.get(id(leaf))
        if (
            known is not None
            and known[0]() is leaf
            and known[1] == tensors.version(leaf) is not None
        ):
            return known[2]
        if self._room is not None:
            self._room -= leaf.nbytes if leaf.layout is torch.strided else 0
            if self._room < 0:
                raise NoRoomError
        twin = copy_tensor(leaf)
        self._known[id(leaf)] = (weakref.ref(leaf), tensors.version(leaf), twin)
        return twin


def copy_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A detached copy with the same values, strides and `requires_grad`."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        return tensor.detach().clone()
    plain = tensor.detach()
    twin = torch.empty_strided(plain.shape, plain.stride(), dtype=plain.dtype, device=plain.device)
    try:
        twin.copy_(plain)
    except RuntimeError:  # elements share memory (an expanded tensor, overlapping windows), so these strides cannot be written to
        twin = plain.clone()
    return (
        twin.requires_grad_(tensor.requires_grad)
        if twin.is_floating_point() or twin.is_complex()
        else twin
    )
