"""An export with decompositions of one's own, by the public calls that a user would paste."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.utils import _pytree as pytree

from onnx_debug.torch_private import exporter

logger = logging.getLogger(__name__)


def export_with(
    table: Mapping[Any, Callable[..., Any]],
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Any:
    """Capture the model, decompose it by `table`, and have the exporter translate what is left.

    Args:
        table: functions by operator.
        model: what to export, with `args` and `kwargs` as its example.
        args: positional arguments.
        kwargs: keyword arguments.
        options: keywords of `torch.onnx.export`. `dynamic_shapes` goes to the capture, all others
            to the exporter, as far as they are meant for a program that is captured already.

    Returns:
        The `torch.onnx.ONNXProgram`.

    Raises:
        ValueError: `dynamic_axes` is given, which only the exporter itself can read, or the legacy
            exporter is asked for, which knows no decompositions.
    """
    chosen = dict(options or {})
    if chosen.get("dynamic_axes") or chosen.get("dynamo") is False:
        raise ValueError("decompositions need dynamo=True, and dynamic_shapes for dynamic_axes")
    chosen.pop("dynamic_axes", None)
    requested = chosen.pop("dynamic_shapes", None)
    program = _captured(model, args, dict(kwargs or {}), _without_names(requested))
    done = torch.onnx.export(program.run_decompositions(dict(table)), **{**chosen, "dynamo": True})
    if requested is not None and done is not None:
        exporter.name_axes(done, requested)
    return done


def _captured(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], dynamic_shapes: Any
) -> ExportedProgram:
    """The captured program; in strict mode where the other way fails, as the exporter does it.

    Raises:
        Exception: what the first capture raised, where the second one fails too.
    """

    def capture(*, strict: bool) -> ExportedProgram:
        return torch.export.export(
            model, args, kwargs, dynamic_shapes=dynamic_shapes, strict=strict
        )

    try:
        return capture(strict=False)
    except Exception as error:  # noqa: BLE001 - a model may raise anything
        try:
            return capture(strict=True)
        except Exception:
            logger.debug("the strict capture fails too", exc_info=True)
            raise error from None


def _without_names(dynamic_shapes: Any) -> Any:
    """The request as `torch.export` reads it: names in place of dimensions are the exporter's own."""
    return pytree.tree_map(
        lambda dim: Dim.DYNAMIC if isinstance(dim, str) else dim,
        dynamic_shapes,
        is_leaf=lambda dim: isinstance(dim, str),
    )
