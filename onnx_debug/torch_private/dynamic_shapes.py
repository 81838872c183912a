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


def refuses_relation(error: BaseException) -> bool:
    """Whether a capture ran to its end, and torch then finds that sizes of the request cannot be what it says of them.

    `torch.export` raises Dynamo's UserError in the place of the solver's own. Where neither is known
    by these names, the fault is searched for among the modules.
    """
    kind = getattr(error, "error_type", None)
    if getattr(kind, "name", "") == "CONSTRAINT_VIOLATION":
        return True
    try:
        from torch.fx.experimental.symbolic_shapes import ConstraintViolationError
    except ImportError:
        return False
    return isinstance(error, ConstraintViolationError)
