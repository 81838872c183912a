"""Put back what a run in the user's own process changes: the model, what it holds, and the state of the process.

A snapshot is a list of functions, each of which puts one thing back.
"""

from __future__ import annotations

import contextlib
import logging
import random
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

Restore = Callable[[], object]

_FIXED = (type, types.ModuleType, types.FunctionType, str, bytes, int, float)
_FARTHEST = (
    4  # steps from a module into what it holds: a model may hold its trainer, and that the world
)


@contextlib.contextmanager
def untouched(*values: Any) -> Iterator[None]:
    """Put models and inputs back as they were, values included, and the state of the process with them."""
    restores = [*_process_state(), *_Snapshot().of(values)]
    with warnings.catch_warnings():
        try:
            yield
        finally:
            with torch.no_grad():
                for restore in restores:
                    restore()


class _Snapshot:
    """Walks through modules, containers and plain objects, and notes what can change in each."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}

    def of(self, value: Any, depth: int = 0) -> Iterator[Restore]:
        """What puts `value` back; `depth` counts steps away from the nearest module."""
        if id(value) in self._seen or depth > _FARTHEST or isinstance(value, _FIXED):
            return
        self._seen[id(value)] = value  # held, so that no other object gets its id
        if isinstance(value, torch.Tensor):
            yield _restore_tensor(value)
            if value.is_leaf and value.grad is not None:
                yield from self.of(value.grad)
        elif (restore := _restore_generator(value)) is not None:
            yield restore
        elif isinstance(value, np.ndarray):
            yield _restore_array(value)
        else:
            yield from self._content(value, 0 if isinstance(value, nn.Module) else depth + 1)

    def _content(self, value: Any, depth: int) -> Iterator[Restore]:
        held: list[Any] = list(value) if isinstance(value, tuple) else []
        if isinstance(value, dict):
            held += value.values()
            yield _restore_items(value, value.update, lambda: list(value.items()))
        elif isinstance(value, list | deque):
            held += value
            yield _restore_items(value, value.extend, lambda: list(value))
        elif isinstance(value, set):
            yield _restore_items(value, value.update, lambda: list(value))
        if isinstance(attributes := getattr(value, "__dict__", None), dict):
            held.append(attributes)
        for item in held:
            yield from self.of(item, depth)


def _restore_items(
    container: Any, fill: Callable[[Any], object], read: Callable[[], list[Any]]
) -> Restore:
    kept = read()

    def restore() -> None:
        now = read()
        if len(now) != len(kept) or any(
            not _same(one, other) for one, other in zip(now, kept, strict=True)
        ):
            container.clear()
            fill(kept)

    return restore


def _same(one: Any, other: Any) -> bool:
    """The same object, or the same pair of objects: `==` may mean anything."""
    if isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other) == 2:
        return one[0] is other[0] and one[1] is other[1]
    return one is other


def _restore_tensor(tensor: torch.Tensor) -> Restore:
    grad, requires_grad = (tensor.grad, tensor.requires_grad) if tensor.is_leaf else (None, None)
    plain = tensor.layout is torch.strided and not nn.parameter.is_lazy(tensor)
    data, kept = (tensor.data, tensor.detach().clone()) if plain else (None, None)

    def restore() -> None:
        if data is not None and kept is not None:
            if tensor.data_ptr() != data.data_ptr() or tensor.shape != data.shape:
                tensor.data = data
            if not _identical(
                tensor, kept
            ):  # batch norm writes to its statistics without counting a new version
                tensor.data.copy_(kept)
        if requires_grad is not None:
            tensor.requires_grad_(requires_grad)
            tensor.grad = grad

    return restore


def _identical(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.equal(
        one, other
    )  # a NaN is not equal to itself, and is written again


def _restore_array(array: np.ndarray[Any, Any]) -> Restore:
    kept = array.copy()

    def restore() -> None:
        if array.flags.writeable:
            array[...] = kept

    return restore


def _restore_generator(value: Any) -> Restore | None:
    """For a source of random numbers that a model holds."""
    if isinstance(value, torch.Generator):
        state = value.get_state()
        return lambda: value.set_state(state)
    if isinstance(value, random.Random):
        numbers = value.getstate()
        return lambda: value.setstate(numbers)
    if isinstance(value, np.random.RandomState):
        old = value.get_state()
        return lambda: value.set_state(old)
    if isinstance(value, np.random.Generator):
        bits = value.bit_generator
        now = bits.state
        return lambda: setattr(bits, "state", now)
    return None


def _process_state() -> Iterator[Restore]:
    """Random numbers and the switches of torch, numpy and logging."""
    for read, write in (
        (torch.get_rng_state, torch.set_rng_state),
        (random.getstate, random.setstate),
        (np.random.get_state, np.random.set_state),
        (torch.get_default_dtype, torch.set_default_dtype),
        (torch.is_grad_enabled, torch.set_grad_enabled),
        (np.geterr, lambda found: np.seterr(**found)),
    ):
        state = read()
        yield lambda write=write, state=state: write(state)  # type: ignore[misc]
    for logger in (
        logging.root,
        *(
            found
            for found in logging.root.manager.loggerDict.values()
            if isinstance(found, logging.Logger)
        ),
    ):
        yield _restore_logger(logger)


def _restore_logger(logger: logging.Logger) -> Restore:
    level, switches = logger.level, (logger.disabled, logger.propagate)
    handlers, filters = list(logger.handlers), list(logger.filters)

    def restore() -> None:
        if logger.level != level:
            logger.setLevel(level)
        logger.disabled, logger.propagate = switches
        logger.handlers[:], logger.filters[:] = handlers, filters

    return restore
