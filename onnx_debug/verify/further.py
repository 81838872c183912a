"""Which further inputs a case is compared on."""

from __future__ import annotations

from onnx_debug.case import Case
from onnx_debug.packing import PackingError
from onnx_debug.verify.inputs import FurtherInputs, fresh_values
from onnx_debug.verify.sizes import other_sizes

_SCALES = (20.0, 0.05)


def further_inputs(case: Case) -> list[FurtherInputs]:
    """Fresh values of the given sizes, then other sizes; nothing where the inputs cannot be taken apart.

    The legacy exporter keeps the branch that the given values took, so it gets much larger and much smaller numbers as well.
    Inputs that the eager module rejects show a limit of the model and nothing about the export.
    """
    given = (case.args, case.kwargs)
    try:
        fresh = [FurtherInputs(f"fresh values {seed + 1}", "other values of the same kind", fresh_values(given, seed)) for seed in range(2)]
        if not case.dynamo:
            fresh += [
                FurtherInputs(f"values times {scale:g}", f"fresh values times {scale:g}", fresh_values(given, 2, scale=scale))
                for scale in _SCALES
            ]
        return fresh + other_sizes(case)
    except PackingError:
        return []
