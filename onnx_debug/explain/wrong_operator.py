"""The first operator of eager whose inputs ONNX computes right and whose output it does not.

Eager is watched function by function. What a function takes and returns is looked for among all
values of the exported file, by sums that stay when a tensor is reshaped. A value that the file does
not hold even where both agree (a fused layer) tells nothing, so a run on such inputs is compared
with the run on those that differ.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import torch
from torch.overrides import TorchFunctionMode, resolve_name

from onnx_debug.data.failure import Clue, ClueKind
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.eager.outputs import copied, eager_outputs
from onnx_debug.explain.exceptions import from_frames
from onnx_debug.explain.known_wrong import known_wrong
from onnx_debug.explain.locate import Locator
from onnx_debug.onnx_file import runtime
from onnx_debug.request.case import Case, Inputs
from onnx_debug.torch_private.tensors import tree_leaves

_CLOSE = 1e-5  # by how much sums may differ, as a share of the sum of magnitudes
_LARGEST = 1 << 26  # elements that all functions return together


@dataclass(frozen=True)
class Print:
    """A tensor by its sums: those of its values, of its values by place, of magnitudes; how many are NaN, Inf and -Inf."""

    elements: int
    sums: tuple[float, float]
    magnitude: float
    odd: tuple[int, int, int]

    def like(self, other: Print, *, ordered: bool) -> bool:
        """Whether two tensors hold the same values, in the same order or in any."""
        close = _CLOSE * max(self.magnitude, other.magnitude)
        pairs = [*zip(self.sums, other.sums, strict=True)][: 2 if ordered else 1]
        pairs.append((self.magnitude, other.magnitude))
        return (
            self.elements == other.elements
            and self.odd == other.odd
            and all(abs(one - two) <= close for one, two in pairs)
        )


@dataclass(frozen=True)
class Step:
    """One call of a torch function; `passed` names its keyword arguments."""

    function: str
    passed: tuple[str, ...]
    taken: tuple[Print, ...]
    returned: tuple[Print, ...]
    clue: Clue | None


@dataclass(frozen=True)
class Wrong:
    """The first operator that goes wrong.

    Attributes:
        clue: its module and line.
        known: what is known of its translation; empty if nothing is.
        only_ties: it returns the right values and takes others of equal ones, which torch leaves
            open.
    """

    clue: Clue
    known: str
    only_ties: bool


class WrongOperators:
    """Finds the first wrong operator for inputs on which the file differs.

    Args:
        case: the export.
        path: its file, which answers right on the given inputs.
        gradients: how eager is run.
    """

    def __init__(self, case: Case, path: Path, *, gradients: bool = False) -> None:
        self._case, self._gradients = case, gradients
        self._locator = Locator(ModuleNames(case.model))
        model = onnx.load(path, load_external_data=False)
        names = [name for node in model.graph.node for name in node.output if name]
        self._onnx = runtime.OnnxModel(case, path, also=names)

    @functools.cached_property
    def _given(self) -> list[tuple[Step, list[bool | None]]]:
        """Each call on the given inputs, and how the file holds what it returns: in order, in any order, or not."""
        held = self._held(self._case.inputs[0])
        return [
            (step, [_how(found, held, step.taken) for found in step.returned])
            for step in self._steps(self._case.inputs[0])
        ]

    def first(self, inputs: Inputs) -> Wrong | None:
        """The first wrong operator for these inputs; None where the file's values do not tell."""
        try:
            held = self._held(inputs)
            for (before, ways), now in zip(self._given, self._steps(inputs), strict=False):
                if before.function != now.function or len(before.returned) != len(now.returned):
                    return None  # from here on the two runs took different ways
                right = [
                    way is not None and _is_held(found, held, now.taken, ordered=way)
                    for way, found in zip(ways, now.returned, strict=True)
                ]
                fed = all(_is_held(one, held, ordered=False) for one in now.taken)
                if fed and None not in ways and not all(right) and now.clue is not None:
                    clue = replace(now.clue, kind=ClueKind.VALUE, op=now.function)
                    known = known_wrong(now.function, now.passed, dynamo=self._case.dynamo)
                    return Wrong(clue, known, only_ties=right == [True, False])
        except Exception:  # noqa: BLE001 - the file may not run with all its values as outputs
            return None
        return None

    def _steps(self, inputs: Inputs) -> list[Step]:
        watch, own = _Watch(self._locator), copied(inputs)
        with watch:
            eager_outputs(self._case, own, gradients=self._gradients)
        return watch.steps

    def _held(self, inputs: Inputs) -> dict[int, list[Print]]:
        """Every value of the file, and what is right by itself: inputs, parameters, buffers."""
        model = self._case.model
        right = (*self._onnx.feeds(inputs).values(), *model.parameters(), *model.buffers())
        found: dict[int, list[Print]] = {}
        for one in map(fingerprint, (*self._onnx(inputs), *right)):
            found.setdefault(one.elements, []).append(one)
        return found


class _Watch(TorchFunctionMode):
    """Notes every torch function that the model calls, outermost only."""

    def __init__(self, locator: Locator) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self._locator, self._elements = locator, 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        taken = tuple(fingerprint(one) for one in _tensors((args, kwargs)))
        returned = func(*args, **kwargs or {})
        made = [one for one in _tensors(returned) if one.numel()]
        self._elements += sum(one.numel() for one in made)
        if made and self._elements < _LARGEST:
            prints = tuple(map(fingerprint, made))
            step = Step(_name(func), tuple(kwargs or ()), taken, prints, self._clue())
            self.steps.append(step)
        return returned

    def _clue(self) -> Clue | None:
        frames = list(traceback.walk_stack(sys._getframe(2)))
        return from_frames(frames[::-1], self._locator)


def _name(func: Any) -> str:
    with contextlib.suppress(Exception):
        return str(resolve_name(func) or func.__name__)
    return str(getattr(func, "__name__", func))


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor))


def fingerprint(tensor: torch.Tensor) -> Print:
    """The sums of a tensor; complex numbers count as pairs."""
    plain = tensor.detach().cpu()
    real = torch.view_as_real(plain.resolve_conj()) if plain.is_complex() else plain
    flat = real.reshape(-1).to(torch.float64)
    finite = torch.where(flat.isfinite(), flat, 0.0)
    odd = (flat.isnan(), flat == torch.inf, flat == -torch.inf)
    by_place = float(finite @ _places(len(flat)))
    return Print(
        len(flat),
        (float(finite.sum()), by_place),
        float(finite.abs().sum()),
        (int(odd[0].sum()), int(odd[1].sum()), int(odd[2].sum())),
    )


@functools.lru_cache(maxsize=64)
def _places(count: int) -> torch.Tensor:
    return torch.arange(count, dtype=torch.float64).cos()


def _how(wanted: Print, held: dict[int, list[Print]], taken: Sequence[Print]) -> bool | None:
    """True: the file holds what a function returns in this order; False: in another; None: not at all."""
    ways = (way for way in (True, False) if _is_held(wanted, held, taken, ordered=way))
    return next(ways, None)


def _is_held(
    wanted: Print, held: dict[int, list[Print]], taken: Sequence[Print] = (), *, ordered: bool
) -> bool:
    """Whether the file holds a value, once more than among what the function took: it may return just that."""
    found = sum(wanted.like(one, ordered=ordered) for one in held.get(wanted.elements, ()))
    return found > sum(wanted.like(one, ordered=ordered) for one in taken)
