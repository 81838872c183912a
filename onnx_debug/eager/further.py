"""Which further inputs a case is compared on."""

from __future__ import annotations

from onnx_debug.eager.packing import PackingError
from onnx_debug.eager.sizes import other_sizes
from onnx_debug.eager.values import FurtherInputs, fresh_values
from onnx_debug.request.case import Case

# By how much fresh values are larger, so that a branch of the model goes the other way.
_OTHER_WAYS = {
    "much larger values": 20.0,
    "much smaller values": 0.05,
    "values of the other sign": -1.0,
    "much larger values of the other sign": -20.0,
}


def further_inputs(case: Case, *, branches: bool = False) -> list[FurtherInputs]:
    """Fresh values of the given sizes, then other sizes, unusual ones last; nothing where the inputs cannot be taken apart.

    Inputs that the eager module rejects show a limit of the model and nothing about the export.

    Args:
        case: the export.
        branches: the exporter says that it froze a branch, or a value, as the given inputs had it:
            try to go the other way.
    """
    given = (case.args, case.kwargs)
    try:
        fresh = {f"fresh values {seed + 1}": fresh_values(given, seed) for seed in range(2)}
        if branches:
            fresh |= {
                name: fresh_values(given, 2, scale=scale) for name, scale in _OTHER_WAYS.items()
            }
        found = [FurtherInputs(name, name, inputs) for name, inputs in fresh.items()]
        return found + sorted(other_sizes(case), key=lambda one: one.unusual)
    except PackingError:
        return []
