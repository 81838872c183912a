"""Load and run an exported file in ONNX Runtime, with placeholders turned into inputs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import torch.utils.dlpack

from onnx_debug.compat.tensors import tree_leaves
from onnx_debug.onnx_file.names import PLACEHOLDER_DOMAIN
from onnx_debug.request.case import Case, Inputs
from onnx_debug.request.inputs import forward_signature

_BFLOAT16 = onnx.TensorProto.BFLOAT16


@dataclass(frozen=True)
class Hole:
    """Where a placeholder's output enters the graph: output `output` of call `call` of `module`.

    Attributes:
        given: names of the values that reach the placeholder.
    """

    name: str
    module: str
    call: int
    output: int
    given: tuple[str, ...] = ()


@dataclass
class Runnable:
    """An exported file, ready for ONNX Runtime.

    Attributes:
        path: the file to load.
        inputs: names of the graph's own inputs.
        holes: the placeholders' outputs, now inputs.
        outputs: names of the outputs.
        reaching: names of the values that reach a placeholder; the file returns them after its
            outputs.
    """

    path: Path
    inputs: list[str]
    outputs: list[str]
    holes: list[Hole] = field(default_factory=list)
    reaching: list[str] = field(default_factory=list)


class NestedPlaceholderError(Exception):
    """A placeholder stands inside a branch, a loop or a local function, where it cannot become an input of the graph."""


def make_runnable(path: Path, also: Sequence[str] = ()) -> Runnable:
    """Prepare an exported file; one with placeholders is rewritten beside the original, weights left where they are.

    Args:
        path: the exported file.
        also: names of intermediate values to return as well.

    Raises:
        NestedPlaceholderError: the placeholder is not in the main graph.
    """
    model = onnx.load(path, load_external_data=False)
    graph = model.graph
    initial = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in initial]
    outputs = [value.name for value in graph.output]
    holes = _lift_placeholders(model)
    known = {*outputs, *inputs, *initial, *(hole.name for hole in holes)}
    extra = [name for name in also if name not in outputs]
    reaching = [name for hole in holes for name in hole.given if name and name not in known]
    reaching = list(dict.fromkeys(reaching))
    if not holes and not extra:
        return Runnable(path, inputs, outputs)
    graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for name in (*extra, *reaching)
    )
    target = path.with_name(path.stem + ("_values" if extra else "_lifted") + ".onnx")
    onnx.save(model, target)
    return Runnable(target, inputs, outputs + extra, holes, reaching)


def _lift_placeholders(model: onnx.ModelProto) -> list[Hole]:
    """Remove the placeholder nodes and make their outputs inputs of the graph."""
    graph = model.graph
    types = {value.name: value for value in graph.value_info} | {
        value.name: value for value in graph.output
    }
    holes: list[Hole] = []
    for node in [node for node in graph.node if node.domain == PLACEHOLDER_DOMAIN]:
        attributes = {
            attribute.name: onnx.helper.get_attribute_value(attribute)
            for attribute in node.attribute
        }
        for position, name in enumerate(node.output):
            if name:
                module, given = attributes["module"].decode(), tuple(node.input)
                holes.append(Hole(name, module, attributes["call"], position, given))
                graph.input.append(_input_of_type(name, types.get(name)))
        graph.node.remove(node)
    if any(
        node.domain == PLACEHOLDER_DOMAIN for function in model.functions for node in function.node
    ) or _in_subgraph(graph):
        raise NestedPlaceholderError
    return holes


def _in_subgraph(graph: onnx.GraphProto) -> bool:
    inner = [
        attribute.g
        for node in graph.node
        for attribute in node.attribute
        if attribute.HasField("g")
    ]
    return any(
        any(node.domain == PLACEHOLDER_DOMAIN for node in body.node) or _in_subgraph(body)
        for body in inner
    )


def _input_of_type(name: str, known: onnx.ValueInfoProto | None) -> onnx.ValueInfoProto:
    """An input without sizes: only the element type matters to the runtime."""
    kind = known.type.tensor_type.elem_type if known is not None else onnx.TensorProto.FLOAT
    return onnx.helper.make_tensor_value_info(name, kind or onnx.TensorProto.FLOAT, None)


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


def graph_leaves(case: Case, inputs: Inputs) -> list[Any]:
    """What is passed to the whole model, flat, in the order of the graph's inputs.

    Keywords stand as they were given, or as the legacy exporter sorts them, by parameter.
    """
    args, kwargs = inputs
    signature = forward_signature(case.model)
    order = list(signature.parameters) if signature is not None and not case.dynamo else []
    sorted_kwargs = dict(
        sorted(
            kwargs.items(),
            key=lambda item: order.index(item[0]) if item[0] in order else len(order),
        )
    )
    return tree_leaves((args, sorted_kwargs))


def feeds_for(
    runnable: Runnable, leaves: Sequence[Any], input_names: Sequence[str] = ()
) -> dict[str, torch.Tensor]:
    """The graph's inputs, by position, from the flat list of what was passed to the module.

    None is dropped, numbers become tensors, complex tensors pairs of reals: what both exporters do.

    Args:
        runnable: the exported file.
        leaves: what was passed.
        input_names: the names that were asked for; the legacy exporter leaves out inputs that are
            not used.

    Raises:
        ValueError: fewer or more values than inputs.
    """
    matched = match_inputs(runnable.inputs, leaves, input_names)
    return {name: _as_feed(leaf) for name, leaf in matched.items()}


def match_inputs(
    names: Sequence[str], leaves: Sequence[Any], input_names: Sequence[str] = ()
) -> dict[str, Any]:
    """Which of the leaves enters the graph under which of its input names; arguments and errors as in `feeds_for`."""
    values = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor | bool | int | float)]
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    for candidates in (tensors, values):
        if len(candidates) == len(names):
            return dict(zip(names, candidates, strict=True))
    positions = [_position(name, input_names) for name in names]
    if all(position is not None and position < len(tensors) for position in positions):
        return {
            name: tensors[position]
            for name, position in zip(names, positions, strict=True)
            if position is not None
        }
    raise ValueError(
        f"the graph has {len(names)} inputs ({', '.join(names)}), the call passes {len(tensors)} tensors"
    )


def _position(name: str, input_names: Sequence[str]) -> int | None:
    """Which argument an input of the legacy exporter was: by the name asked for, else by the number that ends its own names."""
    if name in input_names:
        return list(input_names).index(name)
    found = re.fullmatch(r"onnx::\w+_(\d+)|input\.(\d+)", name)
    return int(found[1] or found[2]) if found else None


def _as_feed(leaf: Any) -> torch.Tensor:
    if not isinstance(leaf, torch.Tensor):
        return torch.tensor(leaf)
    return torch.view_as_real(leaf.detach().resolve_conj()) if leaf.is_complex() else leaf.detach()


def flat_tensors(leaves: Sequence[Any]) -> list[torch.Tensor]:
    """The tensors among the leaves, complex ones as pairs of reals: what ONNX returns."""
    return [_as_feed(leaf) for leaf in leaves if isinstance(leaf, torch.Tensor)]
