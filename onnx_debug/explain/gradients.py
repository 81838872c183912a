"""The module that answers otherwise under `torch.no_grad()`: some take another path there, as `nn.TransformerEncoder` does."""

from __future__ import annotations

from typing import Any

import torch

from onnx_debug.data.failure import Source
from onnx_debug.eager.calls import Call, completion_order
from onnx_debug.eager.copies import CloneOnce
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.eager.outputs import copied
from onnx_debug.eager.recorder import Recorder, recorded
from onnx_debug.onnx_file.compare import Tolerance, agree
from onnx_debug.request.case import Case


def differing_module(case: Case, tolerance: Tolerance) -> tuple[str, Source | None] | None:
    """The innermost module that gets equal inputs and returns something else, and its forward; None where none is seen.

    Runs the model twice.
    """
    names = ModuleNames(case.model)
    try:
        calls = [_calls(case, names, gradients=gradients) for gradients in (True, False)]
    except Exception:  # noqa: BLE001 - a module may hand on what cannot be copied, such as nested tensors
        return None
    forwards = {info.fqn: info.forward for info in names.infos({})}
    for key, without in calls[1].items():
        with_them = calls[0].get(key)
        if with_them is None or not _alike(with_them.arguments, without.arguments, tolerance):
            continue
        if not _alike(with_them.output, without.output, tolerance):
            return without.fqn, forwards.get(without.fqn)
    return None


def _calls(case: Case, names: ModuleNames, *, gradients: bool) -> dict[tuple[str, int], Call]:
    """The calls by module and number, in the order in which they returned."""
    recorder = Recorder(names, CloneOnce())
    args, kwargs = copied(case.inputs[0])
    with torch.set_grad_enabled(gradients), recorded(recorder):
        case.model(*args, **kwargs)
    return {(call.fqn, call.index): call for call in completion_order(recorder.recording)}


def _alike(one: Any, other: Any, tolerance: Tolerance) -> bool:
    """Whether two packed values hold equal tensors; what was not recorded is like nothing."""
    if one is None or other is None:
        return False
    pairs = list(zip(one.tensors(), other.tensors(), strict=False))
    return len(one.tensors()) == len(other.tensors()) and all(
        not b.is_nested and agree(a, b, tolerance) for a, b in pairs
    )
