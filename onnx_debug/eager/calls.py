"""Recorded calls: their order, their digests, and what captures of the whole model saw of them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from onnx_debug.data.call_tree import CallInfo, Tree
from onnx_debug.data.outcome import Trial
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.eager.packing import Packed


@dataclass
class Call:
    """One recorded call, with values.

    Attributes:
        arguments: `(args, kwargs)` before the call.
        output: what it returned; None when it did not return.
        mutated: positions of the argument leaves that the call changed in place and did not return.
        specialized: a symbolic size of the model's inputs became a number before the call returned.
        problem: why the call could not be recorded; empty when it was.
        known_kind: see `kind`, of a call whose values were not kept.
    """

    fqn: str
    index: int
    parent: int | None
    arguments: Packed | None = None
    output: Packed | None = None
    mutated: tuple[int, ...] = ()
    specialized: bool = False
    problem: str = ""
    known_kind: str = ""

    @property
    def kind(self) -> str:
        """Equal for calls with equal shapes, dtypes and non-tensor arguments."""
        if self.arguments is None:
            return self.known_kind or self.problem
        return kind_of(self.arguments)

    def forget_values(self) -> None:
        """Keep only that it happened."""
        self.known_kind, self.arguments, self.output = self.kind, None, None


def kind_of(arguments: Packed) -> str:
    """Equal for arguments with equal shapes, dtypes and other values."""
    shapes = [
        (tuple(leaf.shape), str(leaf.dtype)) if isinstance(leaf, torch.Tensor) else str(leaf)
        for leaf in arguments.leaves
    ]
    found = hashlib.sha1(arguments.template + repr(shapes).encode(), usedforsecurity=False)
    return found.hexdigest()


@dataclass
class Recording:
    """All calls of one run of the model, in the order in which they began."""

    calls: list[Call] = field(default_factory=list)

    def of(self, fqn: str) -> list[Call]:
        """The calls of one module."""
        return [call for call in self.calls if call.fqn == fqn]

    def inside(self, fqn: str, root: str, call: int) -> list[Call]:
        """The calls of `fqn` that happen inside the given call of `root`."""
        return [found for found in self.of(fqn) if root == "" or self._within(found, root, call)]

    def _within(self, call: Call, root: str, index: int) -> bool:
        above = call.parent
        while above is not None:
            outer = self.calls[above]
            if outer.fqn == root:
                return outer.index == index
            above = outer.parent
        return False

    def tree(self, names: ModuleNames) -> Tree:
        """The calls without their values."""
        counts: dict[str, int] = {}
        for call in self.calls:
            counts[call.fqn] = counts.get(call.fqn, 0) + 1
        return Tree(
            names.infos(counts),
            [CallInfo(call.fqn, call.index, call.parent, call.kind) for call in self.calls],
        )


def completion_order(recording: Recording) -> list[Call]:
    """The calls in the order in which they returned: children before the module that called them."""
    children: dict[int | None, list[int]] = {}
    for position, call in enumerate(recording.calls):
        children.setdefault(call.parent, []).append(position)

    def walk(above: int | None) -> Iterator[Call]:
        for position in children.get(above, ()):
            yield from walk(position)
            yield recording.calls[position]

    return list(walk(None))


def slim(recording: Recording, fqns: frozenset[str] | None) -> Recording:
    """The recording with the values of some modules only; None: of all."""
    if fqns is None:
        return recording
    return Recording(
        [call if call.fqn in fqns else without_values(call) for call in recording.calls]
    )


def without_values(call: Call) -> Call:
    """The call without its values."""
    return dataclasses.replace(call, arguments=None, output=None)


def digests(recording: Recording) -> list[tuple[str, str, str]]:
    """(path, digest of the inputs, digest of the outputs) of every call, in the order in which the calls returned."""
    return [
        (call.fqn, _digest(call.arguments), _digest(call.output))
        for call in completion_order(recording)
    ]


def _digest(packed: Any) -> str:
    if packed is None:
        return ""
    found = hashlib.sha1(packed.template, usedforsecurity=False)
    for leaf in packed.leaves:
        plain = leaf.detach().cpu() if isinstance(leaf, torch.Tensor) else leaf
        if isinstance(plain, torch.Tensor) and plain.layout is torch.strided and plain.numel():
            found.update(plain.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        else:
            found.update(repr(plain).encode())
    return found.hexdigest()


@dataclass
class TracedCalls:
    """Module calls observed during captures of the whole model. A capture stops at its first failure; several give a fuller picture."""

    traced: dict[str, list[Call]] = field(default_factory=dict)

    def merge(self, trial: Trial, seen: Recording) -> None:
        """Take over what one trial of the whole model saw; a placeholder's outputs are no news."""
        for fqn in dict.fromkeys(call.fqn for call in seen.calls):
            calls = [
                replace(call, output=None) if fqn in trial.stubs else call for call in seen.of(fqn)
            ]
            if _richness(calls) > _richness(self.traced.get(fqn, [])):
                self.traced[fqn] = calls

    def of(self, fqns: frozenset[str] | None) -> dict[str, list[Call]]:
        """The calls of some modules; None: of all."""
        return {fqn: calls for fqn, calls in self.traced.items() if fqns is None or fqn in fqns}


def _richness(calls: list[Call]) -> tuple[int, int]:
    return len(calls), sum(call.output is not None for call in calls)
