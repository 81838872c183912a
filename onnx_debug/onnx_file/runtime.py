"""Load and run an exported file in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import torch.utils.dlpack

from onnx_debug.onnx_file.feeds import feeds_for, graph_leaves
from onnx_debug.onnx_file.names import PLACEHOLDER_DOMAIN
from onnx_debug.onnx_file.runnable import make_runnable
from onnx_debug.request.case import Case, Inputs

_BFLOAT16 = onnx.TensorProto.BFLOAT16


def open_session(model: Path | bytes) -> onnxruntime.InferenceSession:
    """A session that says nothing and takes one thread."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model),
        options,
        providers=["CPUExecutionProvider"],
    )


def refused_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes that ONNX Runtime has no kernel for: each kind of node is loaded as a model of its own.

    Its exceptions name such a node by text only, often not the one in the file but a part that it
    was expanded to.
    """
    types = _element_types(model)
    verdicts: dict[Any, bool] = {}
    found = []
    for node in model.graph.node:
        given = [types.get(name) if name else 0 for name in node.input]
        if (
            None in given
            or node.domain == PLACEHOLDER_DOMAIN
            or any(attribute.HasField("g") for attribute in node.attribute)
        ):
            continue
        kind = (
            node.domain,
            node.op_type,
            tuple(given),
            b"".join(sorted(attribute.SerializeToString() for attribute in node.attribute)),
        )
        if kind not in verdicts:
            verdicts[kind] = _loads(model, node, given)
        if not verdicts[kind]:
            found.append(node)
    return found


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    graph = model.graph
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    return {name: kind for name, kind in types.items() if kind}


def _loads(model: onnx.ModelProto, node: onnx.NodeProto, given: Sequence[Any]) -> bool:
    inputs = [
        onnx.helper.make_tensor_value_info(name, kind, None)
        for name, kind in dict(zip(node.input, given, strict=True)).items()
        if name
    ]
    outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in node.output if name]
    graph = onnx.helper.make_graph([node], "one_node", inputs, outputs)
    single = onnx.helper.make_model(
        graph,
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
        functions=list(model.functions),
    )
    try:
        open_session(single.SerializeToString())
    except Exception:  # noqa: BLE001 - ONNX Runtime's exception types have no common base
        return False
    return True


def run_session(
    session: onnxruntime.InferenceSession, outputs: Sequence[str], feeds: dict[str, torch.Tensor]
) -> list[torch.Tensor]:
    """Run once. An output that is a sequence comes back as its tensors, one after the other."""
    given = {name: _to_ort(tensor) for name, tensor in feeds.items()}
    values = session.run_with_ort_values(list(outputs), given)
    if not all(value.is_tensor() for value in values):
        arrays = session.run(list(outputs), {name: t.cpu().numpy() for name, t in feeds.items()})
        parts = [one for array in arrays for one in (array if type(array) is list else [array])]
        return [torch.from_numpy(np.asarray(part).copy()) for part in parts if part is not None]
    copies = [_from_ort(value) for value in values]
    del given  # not earlier: an output that is an input shares its memory
    return copies


def refused_sizes(
    session: onnxruntime.InferenceSession, feeds: dict[str, torch.Tensor]
) -> dict[str, str]:
    """The inputs of a file whose fixed sizes are not those of what is fed, each with both, in plain words."""
    found = {}
    for graph_input in session.get_inputs():
        fed = feeds.get(graph_input.name)
        wanted = list(graph_input.shape)
        if fed is None or len(wanted) != fed.dim():
            continue
        if any(
            isinstance(size, int) and size != given
            for size, given in zip(wanted, fed.shape, strict=True)
        ):
            found[graph_input.name] = f"it takes {wanted}, and is given {list(fed.shape)}"
    return found


def _to_ort(tensor: torch.Tensor) -> Any:
    plain = tensor.detach().cpu().contiguous()
    if plain.dtype is torch.bfloat16:
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(
            plain.view(torch.uint16).numpy(), _BFLOAT16
        )
    return onnxruntime.OrtValue.ortvalue_from_numpy(plain.numpy())


def _from_ort(value: Any) -> torch.Tensor:
    if value.element_type() == _BFLOAT16:
        return torch.utils.dlpack.from_dlpack(value).clone()  # NumPy has no such type
    array = np.asarray(value.numpy())
    return torch.from_numpy(array.copy())


class OnnxModel:
    """An exported whole model that answers as `case.model` would.

    Args:
        case: the export.
        path: its file, without placeholders.
        also: names of intermediate values to return as well.

    Raises:
        Exception: ONNX Runtime's own, where it does not load the file.
    """

    def __init__(self, case: Case, path: Path, also: Sequence[str] = ()) -> None:
        self._case, self._runnable = case, make_runnable(path, also)
        self._session = open_session(self._runnable.path)
        self.outputs = self._runnable.outputs

    def feeds(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """What is fed for these arguments of the model; errors as in `feeds_for`."""
        names = self._case.options.get("input_names") or ()
        return feeds_for(self._runnable, graph_leaves(self._case, inputs), names)

    def __call__(self, inputs: Inputs) -> list[torch.Tensor]:
        """What ONNX Runtime returns for these arguments of the model; or its exception."""
        return run_session(self._session, self.outputs, self.feeds(inputs))
