"""The model's own answers."""

from __future__ import annotations

import torch

from onnx_debug.eager.packing import PackingError
from onnx_debug.eager.random_state import other_random_numbers
from onnx_debug.eager.values import like, replace_tensors
from onnx_debug.onnx_file import compare
from onnx_debug.onnx_file.feeds import flat_tensors
from onnx_debug.request.case import Case, Inputs
from onnx_debug.torch_private.tensors import tree_leaves


def eager_outputs(
    case: Case, inputs: Inputs, *, gradients: bool = False
) -> list[torch.Tensor] | None:
    """The tensors that the model itself returns; None when it rejects these inputs.

    Args:
        case: the export.
        inputs: what the model is called with.
        gradients: as in training, and in a capture. Without them, as models are used, some take
            another path (`nn.TransformerEncoder`).
    """
    args, kwargs = inputs
    try:
        with torch.set_grad_enabled(gradients), other_random_numbers(1):
            returned = case.model(*args, **kwargs)
    except Exception:  # noqa: BLE001 - whatever the user's model raises: these inputs are not for it
        return None
    return [leaf.detach() for leaf in tree_leaves(returned) if isinstance(leaf, torch.Tensor)]


def copied(inputs: Inputs) -> Inputs:
    """The inputs with tensors of their own: a model may write to what it is given.

    Raises:
        PackingError: the inputs hold something that cannot be taken apart.
    """
    return replace_tensors(inputs, lambda tensor: like(tensor, tensor.detach()))


def keeps_state(case: Case) -> bool:
    """Whether the model answers otherwise when it is called again: what it keeps from call to call is not in the graph."""
    try:
        answers = [eager_outputs(case, copied((case.args, case.kwargs))) for _ in range(2)]
    except PackingError:
        return False
    one, other = (flat_tensors(answer) if answer is not None else [] for answer in answers)
    rows = compare.compare_outputs([""] * len(one), one, other, compare.tolerance_of(case))
    return any(row.problem for row in rows)
