"""What may stand for one dimension of a request."""

from __future__ import annotations

from typing import Any

from torch.export import Dim

_HINT = type(Dim.AUTO)


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


def dim_name(dim: Any) -> str | None:
    """The name that the request gives to a dimension; a derived Dim has none of its own."""
    if isinstance(dim, str):
        return dim
    return dim.__name__ if is_named(dim) and not is_derived(dim) else None
