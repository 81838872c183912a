"""What torch makes of a `dynamic_shapes`. Checked on torch 2.13."""

from __future__ import annotations

from typing import Any


def reads_names(dynamic_shapes: Any) -> bool:
    """Whether the exporter turns the strings and Dims of this request into names of dimensions.

    It does so only where every leaf is a mapping of dimensions, a tuple of them, or None: one bare
    `Dim.DYNAMIC` (for a number) or one index that is no int makes it leave all strings as they are.
    Without the private name that refusal is learned from the exporter itself.
    """
    try:
        from torch.onnx._internal.exporter import _dynamic_shapes

        return bool(_dynamic_shapes._any_str_or_dim_in_dynamic_shapes(dynamic_shapes))
    except (ImportError, AttributeError, TypeError):
        return True
