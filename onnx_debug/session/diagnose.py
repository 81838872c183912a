"""The whole search in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.events import Event
from onnx_debug.request.case import Edges
from onnx_debug.session.session import Session


def diagnose(  # noqa: PLR0913 - each is a keyword that users name
    model: torch.nn.Module,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    check_inputs: Iterable[Any] = (),
    atol: float | None = None,
    rtol: float | None = None,
    edges: Edges = "report",
    timeout: float = 60.0,
    memory_limit: int | None = None,
    isolate: bool = True,
    fixes: bool = True,
    fix: bool = False,
    on_event: Callable[[Event], None] | None = None,
    f: Any = None,
    **export_options: Any,
) -> Diagnosis:
    """Find every module that blocks the export of `model`, and prove it.

    Args:
        model: the model, as it would be passed to `torch.onnx.export`.
        args: its positional inputs; a bare tensor is one input, a dict at the end holds keyword
            inputs.
        kwargs: its keyword inputs.
        check_inputs: further inputs, each `(args, kwargs)` or only `args`, on which ONNX must agree
            with the eager module.
        atol: a value may differ by `atol + rtol * |value|`; None: by a share of its output's size, by
            dtype (float32: 1e-4).
        rtol: see `atol`.
        edges: zeros, ties, NaN, and sizes of 1, on which a model may answer otherwise than its file:
            "report" a difference, let it fail the export ("strict"), or do not try ("off").
        timeout: seconds for one trial.
        memory_limit: bytes that one trial, with all that it starts, may take beyond the model.
        isolate: run trials in processes of their own, where the system can.
        fixes: try changes that would make it export: of the call, the model, its operators, its
            lines. Only what works is shown. Changes of the model need `isolate`.
        fix: export a copy with the first of these fixes, and write that file, where the model itself
            does not export.
        on_event: told what happens, see `onnx_debug.data.events`.
        f: where to write the file when the export passes, as in `torch.onnx.export`.
        **export_options: `torch.onnx.export`'s own keywords, unchanged.

    Returns:
        What was found; also after Ctrl-C.

    Raises:
        CaseError: what was handed over cannot be an export.
    """
    with Session(
        model,
        args,
        kwargs,
        check_inputs=check_inputs,
        atol=atol,
        rtol=rtol,
        edges=edges,
        timeout=timeout,
        memory_limit=memory_limit,
        isolate=isolate,
        fixes=fixes,
        fix=fix,
        on_event=on_event,
        f=f,
        **export_options,
    ) as session:
        return session.run()
