"""The dimensions that a request asks to be dynamic, in whichever of torch's spellings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from onnx_debug.request.case import Case
from onnx_debug.request.options.axes import names_of
from onnx_debug.request.options.dims import (
    bounds,
    dim_name,
    is_derived,
    is_hint,
    is_named,
    is_static,
)
from onnx_debug.request.options.inputs import Inputs, children, read_inputs
from onnx_debug.request.options.shapes import Reading

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class AskedDim:
    """One dimension of one input tensor that was asked to be dynamic.

    Attributes:
        entry: how the user wrote it: `dynamic_shapes['x'][0]`.
        name: the name given to it; empty when it has none. A derived Dim (`2 * n`) has that of its
            root.
        low, high: the smallest and the largest size that the request allows for the named size;
            None: no bound.
        size_of: from the named size to the size of this dimension.
        required: False for `Dim.AUTO`, which leaves the decision to torch.
    """

    entry: str
    tensor: torch.Tensor
    axis: int
    name: str = ""
    low: int | None = None
    high: int | None = None
    size_of: Callable[[int], int] = int
    required: bool = True

    @property
    def size(self) -> int:
        """The size in the given input."""
        return int(self.tensor.shape[self.axis])

    @property
    def root_size(self) -> int:
        """The named size in the given input: `n` where this dimension is `2 * n + 1`."""
        offset = self.size_of(0)
        return (self.size - offset) // (self.size_of(1) - offset)


def asked_dims(case: Case) -> list[AskedDim]:
    """Every dimension of the given inputs that the request asks to be dynamic; what cannot be read is left out."""
    inputs = read_inputs(case.model, case.args, case.kwargs)
    if inputs is None:
        return []
    shapes = _shapes(case)
    if shapes:
        return list(_from_shapes(inputs, shapes, case.options))
    axes = case.options.get("dynamic_axes")
    return list(_from_axes(inputs, axes, case)) if isinstance(axes, Mapping) else []


def _shapes(case: Case) -> Any:
    """The structure of `dynamic_shapes`; a `ShapesCollection` builds it from the inputs."""
    shapes = case.options.get("dynamic_shapes")
    build = getattr(shapes, "dynamic_shapes", None)
    if not callable(build):
        return shapes if isinstance(shapes, dict | list | tuple) else None
    try:
        return build(case.model, case.args, case.kwargs)
    except Exception:  # a wrong request was reported before; here it only asks for nothing
        logger.debug("dynamic_shapes cannot be built", exc_info=True)
        return None


def _from_shapes(inputs: Inputs, shapes: Any, options: Mapping[str, Any]) -> Iterator[AskedDim]:
    for entry, tensor, spec in Reading(inputs, shapes, options).tensors:
        for axis, dim in (children(spec) or {}).items():
            if (
                isinstance(axis, int)
                and not is_static(dim)
                and -tensor.dim() <= axis < tensor.dim()
            ):
                yield _asked(f"{entry}[{axis!r}]", tensor, axis % tensor.dim(), dim)


def _asked(entry: str, tensor: torch.Tensor, axis: int, dim: Any) -> AskedDim:
    if is_derived(dim):
        root = dim.root
        return AskedDim(entry, tensor, axis, root.__name__, *bounds(root), size_of=dim.fn)
    low, high = bounds(dim) if is_named(dim) or is_hint(dim) else (None, None)
    return AskedDim(
        entry,
        tensor,
        axis,
        dim_name(dim) or "",
        low,
        high,
        required=not (is_hint(dim) and dim.type.name == "AUTO"),
    )


def _from_axes(inputs: Inputs, axes: Mapping[str, Any], case: Case) -> Iterator[AskedDim]:
    for key, leaf in leaves_by_axes_key(inputs, axes, case).items():
        named = axes.get(key)
        found = named.items() if isinstance(named, dict) else ((axis, "") for axis in named or ())
        for axis, name in found:
            if (
                isinstance(leaf, torch.Tensor)
                and isinstance(axis, int)
                and -leaf.dim() <= axis < leaf.dim()
            ):
                yield AskedDim(
                    f"dynamic_axes[{key!r}][{axis!r}]",
                    leaf,
                    axis % leaf.dim(),
                    name if isinstance(name, str) else "",
                )


def leaves_by_axes_key(inputs: Inputs, axes: Mapping[str, Any], case: Case) -> dict[str, Any]:
    """The input that each key of `dynamic_axes` reaches: by name in the legacy exporter, by position alone in the other."""
    input_names, output_names = (
        names_of(case.options, "input_names"),
        names_of(case.options, "output_names"),
    )
    if not case.dynamo:
        return dict(zip(input_names, (leaf.value for leaf in inputs.traced_inputs), strict=False))
    keys = [key for key in axes if key not in output_names] + [
        name for name in input_names if name not in axes
    ]
    return dict(zip(keys, (leaf.value for leaf in inputs.leaves), strict=False))
