"""What may stand for one dimension, and what holds between dimensions that share a name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch.export import Dim

from onnx_debug.request.options.inputs import describe
from onnx_debug.request.options.problem import Problem

_OPTION = "dynamic_shapes"
_HINT = type(Dim.AUTO)


@dataclass(frozen=True)
class Place:
    """One dimension of one input, and what the request says about it."""

    entry: str
    size: int
    dim: Any


def is_named(dim: Any) -> bool:
    """Whether it is a Dim with a name of its own, derived ones included."""
    return isinstance(dim, Dim)


def is_derived(dim: Any) -> bool:
    """Whether it is computed from another Dim: `2 * n + 1`."""
    return is_named(dim) and hasattr(dim, "root")


def is_hint(dim: Any) -> bool:
    """Whether it is Dim.AUTO, Dim.DYNAMIC or Dim.STATIC, with or without bounds."""
    return isinstance(dim, _HINT)


def is_static(dim: Any) -> bool:
    """Whether it asks for a fixed size."""
    return dim is None or isinstance(dim, int) or (is_hint(dim) and dim.type.name == "STATIC")


def is_dim(dim: Any) -> bool:
    """Whether it is something that can stand for a dimension at all."""
    return dim is None or isinstance(dim, str | int) or is_named(dim) or is_hint(dim)


def bounds(dim: Any) -> tuple[int | None, int | None]:
    """Smallest and largest size of a Dim or hint; None: no such bound. torch's infinity is no int."""
    low, high = dim.min, dim.max
    return (low if isinstance(low, int) else None), (high if isinstance(high, int) else None)


def dim_problems(places: Iterable[Place]) -> Iterator[Problem]:
    """Dimensions that the example inputs contradict."""
    places = list(places)
    for place in places:
        yield from _alone(place)
    yield from _shared(places)
    yield from _derived(places)


def _alone(place: Place) -> Iterator[Problem]:
    dim = place.dim
    if not is_dim(dim) or isinstance(dim, bool):
        expected = "a name, a Dim, Dim.DYNAMIC, Dim.AUTO, Dim.STATIC or None"
        yield Problem(_OPTION, place.entry, describe(dim), expected)
    elif isinstance(dim, int) and dim != place.size:
        yield Problem(
            _OPTION,
            place.entry,
            f"the fixed size {dim}",
            f"{place.size}, the size of the given input, or a dynamic dimension",
        )
    elif is_named(dim) or is_hint(dim):
        yield from _outside(place)


def _outside(place: Place) -> Iterator[Problem]:
    try:
        low, high = bounds(place.dim)
    except (
        AssertionError
    ):  # torch computes the bounds of a derived Dim on demand and refuses negative ones
        yield Problem(
            _OPTION,
            place.entry,
            f"{place.dim}, which can become negative",
            f"a larger min for {place.dim.root.__name__}",
        )
        return
    called = (
        f"Dim.{place.dim.type.name}" if is_hint(place.dim) else f"the Dim {place.dim.__name__!r}"
    )
    if high is not None and place.size > high:
        expected = f"a max of at least {place.size}, or an example input of at most {high}"
        yield Problem(
            _OPTION,
            place.entry,
            f"{called} with max={high}, but the given input has size {place.size}",
            expected,
        )
    if low is not None and place.size < low:
        expected = f"a min of at most {place.size}, or an example input of at least {low}"
        yield Problem(
            _OPTION,
            place.entry,
            f"{called} with min={low}, but the given input has size {place.size}",
            expected,
        )


def dim_name(dim: Any) -> str | None:
    """The name that the request gives to a dimension."""
    if isinstance(dim, str):
        return dim
    return dim.__name__ if is_named(dim) and not is_derived(dim) else None


def _shared(places: list[Place]) -> Iterator[Problem]:
    first: dict[str, Place] = {}
    for place in places:
        name = dim_name(place.dim)
        if name is None:
            continue
        other = first.setdefault(name, place)
        if other.size != place.size:
            found = f"{name!r}, which is {other.size} at {other.entry}, but here the given input has size {place.size}"
            # torch compares the sizes of Dims; strings are only pasted on at the end
            silent = isinstance(place.dim, str) or isinstance(other.dim, str)
            yield Problem(
                _OPTION, place.entry, found, "equal sizes, or another name", silent=silent
            )
        elif is_named(place.dim) and is_named(other.dim) and bounds(place.dim) != bounds(other.dim):
            found = f"another definition of {name!r} than at {other.entry}"
            yield Problem(_OPTION, place.entry, found, "one Dim object, used in both places")


def _derived(places: list[Place]) -> Iterator[Problem]:
    roots = {
        p.dim.__name__: p.size
        for p in reversed(places)
        if is_named(p.dim) and not is_derived(p.dim)
    }
    for place in places:
        if not is_derived(place.dim):
            continue
        root = place.dim.root.__name__
        offset = place.dim.fn(0)
        factor = place.dim.fn(1) - offset
        if root not in roots and (place.size - offset) % factor == 0:
            roots[root] = (place.size - offset) // factor
        if root not in roots or place.dim.fn(roots[root]) != place.size:
            known = f" with {root} = {roots[root]}" if root in roots else ""
            yield Problem(
                _OPTION,
                place.entry,
                f"{place.dim}, but the given input has size {place.size}",
                f"a size of that form{known}",
            )
