"""Inputs of other sizes, for each dimension that was asked to be dynamic."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch

from onnx_debug.eager.dynamic_dims import AskedDim, asked_dims
from onnx_debug.eager.values import (
    FurtherInputs,
    fresh_tensor,
    like,
    looks_like_positions,
    replace_tensors,
)
from onnx_debug.request.case import Case


@dataclass
class _Group:
    """Dimensions that change together."""

    label: str
    size: int
    dims: list[AskedDim] = field(default_factory=list)

    def allows(self, size: int) -> bool:
        return all(
            (dim.low is None or dim.low <= size) and (dim.high is None or size <= dim.high)
            for dim in self.dims
        )

    def means_one(self) -> bool:
        """Whether a size of 1 is as good as any: of a batch, or where the request names it as the smallest."""
        return any(dim.axis == 0 or dim.low == 1 for dim in self.dims)

    def changes(self, size: int) -> Iterator[tuple[AskedDim, int]]:
        """The new size of each dimension."""
        for dim in self.dims:
            if (
                dim.root_size == self.size
            ):  # torch lets a name stand at unequal sizes, where one is broadcast
                yield dim, dim.size_of(size)


def other_sizes(case: Case) -> list[FurtherInputs]:
    """Smaller, larger, and 1 where the request allows it, for each dynamic dimension; then two of them at once.

    Raises:
        PackingError: the inputs hold something that cannot be taken apart.
    """
    groups = _groups(asked_dims(case))
    found = []
    for group in groups:
        for goal, size in _candidates(group):
            found.append(
                _resized(case, f"{goal} {group.label}".strip(), {group.label: (group, size)})
            )
    for one, other in itertools.islice(itertools.combinations(groups, 2), 1):
        found += [
            _resized(case, "two at once", {one.label: (one, a), other.label: (other, b)})
            for a, b in _two(one, other)
        ]
    return found


def _groups(dims: Iterable[AskedDim]) -> list[_Group]:
    """Dimensions of one name belong together; those without a name when axis and size are equal."""
    groups: dict[object, _Group] = {}
    for dim in dims:
        key = dim.name or (dim.axis, dim.size)
        label = dim.name or dim.entry
        groups.setdefault(key, _Group(label, dim.root_size)).dims.append(dim)
    return list(groups.values())


def _candidates(group: _Group) -> Iterator[tuple[str, int]]:
    """A few tries each way: models accept multiples of a patch size, or no more than a table holds.

    Sizes that are no whole multiple of the given one come first: a reshape to a fixed number of
    windows and -1 takes every multiple without complaint.
    """
    size = group.size
    smaller = [size * 2 // 3] if size % 3 == 0 else []
    larger = [size * 3 // 2] if size % 2 == 0 else []
    larger += [size * 4 // 3] if size % 3 == 0 else []
    wanted = [("smaller", one) for one in (*smaller, size // 2, size - 1)]
    wanted += [("smaller", dim.low) for dim in group.dims if dim.low and dim.low < size]
    wanted += [("larger", one) for one in (*larger, size * 2, size + 1)]
    wanted += [
        ("larger", dim.high) for dim in group.dims if dim.high and size < dim.high < 2 * size
    ]
    wanted.append(("one", 1))
    tried = {size}
    for goal, candidate in wanted:
        lowest = 1 if goal == "one" else 2
        if candidate >= lowest and candidate not in tried and group.allows(candidate):
            tried.add(candidate)
            yield ("size 1 for" if goal == "one" else goal), candidate


def _two(one: _Group, other: _Group) -> list[tuple[int, int]]:
    """Both larger, else both smaller; equal sizes stay equal, in case they have to."""
    both = [
        (one.size * 2, other.size * 2),
        (one.size + 1, other.size + 1),
        (one.size - 1, other.size - 1),
    ]
    return [(a, b) for a, b in both if min(a, b) >= 1 and one.allows(a) and other.allows(b)]


def _resized(case: Case, goal: str, groups: Mapping[str, tuple[_Group, int]]) -> FurtherInputs:
    changes: dict[int, list[tuple[int, int]]] = {}
    sizes = {}
    for group, size in groups.values():
        for dim, new in group.changes(size):
            changes.setdefault(id(dim.tensor), []).append((dim.axis, new))
            sizes[dim.entry] = new
    shrunk = [(group.size, size) for group, size in groups.values() if size < group.size]
    description = ", ".join(
        f"{label} {size} for {group.size}" for label, (group, size) in groups.items()
    )

    def change(tensor: torch.Tensor) -> torch.Tensor:
        found = tensor
        for axis, size in changes.get(id(tensor), ()):
            found = resize(found, axis, size)
        for before, now in shrunk:
            found = _within(found, before, now)
        return found

    inputs = replace_tensors((case.args, case.kwargs), change)
    unusual = any(size == 1 and not group.means_one() for group, size in groups.values())
    return FurtherInputs(goal, description, inputs, sizes, unusual)


def resize(tensor: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    """Cut, or lengthen: positions go on counting, sorted lengths repeat the last, masks and ids start again, numbers are drawn anew."""
    plain = tensor.detach()
    given = plain.shape[axis]
    if size <= given or not given:
        return like(tensor, plain.narrow(axis, 0, min(size, given)))
    last, more = plain.narrow(axis, given - 1, 1), size - given
    again = plain.index_select(axis, torch.arange(more, device=plain.device) % given)
    if (
        plain.dtype is torch.bool
        or plain.is_complex()
        or not looks_like_positions(plain.movedim(axis, -1))
    ):
        fresh = plain.is_floating_point() or plain.is_complex()
        added = fresh_tensor(again, torch.Generator().manual_seed(size)) if fresh else again
    else:
        added = last + _steps(plain, axis, more)
    return like(tensor, torch.cat([plain, added.to(plain.dtype)], axis))


def _steps(plain: torch.Tensor, axis: int, more: int) -> torch.Tensor:
    """How far each added position lies from the last one; nothing where the given ones are not evenly spaced."""
    along = plain.movedim(axis, -1).diff(dim=-1)
    even = plain.is_floating_point() or (
        along.shape[-1] > 0 and bool((along == along[..., :1]).all())
    )
    step = along[..., :1] if even else torch.zeros_like(plain.movedim(axis, -1)[..., :1])
    return (step * torch.arange(1, more + 1, device=plain.device)).movedim(-1, axis)


def _within(tensor: torch.Tensor, before: int, now: int) -> torch.Tensor:
    """Lengths and positions that point to the end of a dimension that became shorter."""
    if (
        tensor.is_floating_point()
        or tensor.is_complex()
        or tensor.dtype is torch.bool
        or not tensor.numel()
    ):
        return tensor
    highest = int(tensor.max())
    return (
        tensor.clamp(max=highest - (before - now))
        if highest in (before, before - 1) and highest > 1
        else tensor
    )
