"""The request read again: what is wrong with it, and the call that was meant."""

from __future__ import annotations

from dataclasses import replace

from onnx_debug.request import options
from onnx_debug.request.case import Case, forward_signature


def reread_request(case: Case) -> tuple[tuple[str, ...], Case | None, str]:
    """What is wrong with the request, the case with the request that was meant, and that call spelled out."""
    wrong = options.problems(case.model, case.args, case.kwargs, case.options, dynamo=case.dynamo)
    better = options.corrected(case.model, case.args, case.kwargs, case.options, dynamo=case.dynamo)
    if better is None:
        return tuple(map(str, wrong)), None, ""
    found = forward_signature(case.model)
    names = list(found.parameters) if found is not None else []
    given = [
        names[position] if position < len(names) else f"input_{position}"
        for position in range(len(case.args))
    ]
    call = options.call_text("model", given, {name: name for name in case.kwargs}, better)
    return tuple(map(str, wrong)), replace(case, options=better), call
