"""One name, one size, one Dim: dimensions as the example inputs allow them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.export import Dim

from onnx_debug.request.options.dims import bounds, dim_name, is_derived, is_hint, is_named
from onnx_debug.request.options.inputs import identifier


class Agreement:
    """Dimensions of one name have one size and one Dim; one that has another size gets a name of its own."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._bounds: dict[str, tuple[int | None, int | None]] = {}
        self._dims: dict[str, Any] = {}

    def dim(self, dim: Any, size: int, owner: str) -> Any:
        """First round: give out the names, and collect the bounds that the examples allow."""
        if is_derived(dim):
            return dim
        if is_hint(dim):
            low, high = bounds(dim)
            return (
                type(dim)(dim.type)
                if (low or 0) > size or (high is not None and high < size)
                else dim
            )
        name = dim_name(dim)
        if name is None:
            return dim
        if self._sizes.setdefault(name, size) != size:
            name = identifier(f"{name}_{owner}") if is_named(dim) else f"{name}_{owner}"
            self._sizes.setdefault(name, size)
        if isinstance(dim, str):
            return name
        low, high = bounds(dim)
        low, high = (
            (low if (low or 0) <= size else None),
            (high if high is None or high >= size else None),
        )
        before = self._bounds.setdefault(name, (low, high))
        self._bounds[name] = (_loosest(min, before[0], low), _loosest(max, before[1], high))
        return dim if name == dim.__name__ else Dim(name)

    def settle(self, dim: Any, _size: int, _owner: str) -> Any:
        """Second round: one Dim for each name."""
        if not is_named(dim) or is_derived(dim):
            return dim
        low, high = self._bounds[dim.__name__]
        return self._dims.setdefault(
            dim.__name__,
            dim if bounds(dim) == (low, high) else Dim(dim.__name__, min=low or None, max=high),
        )


def _loosest(pick: Callable[[int, int], int], one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else pick(one, other)
