"""Values that should follow the input and became constants of the graph."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from onnx_debug.data.failure import Clue, ClueKind
from onnx_debug.eager.calls import Recording
from onnx_debug.eager.packing import Packed, unpack
from onnx_debug.explain.graph_nodes import from_onnx_nodes
from onnx_debug.explain.locate import Locator
from onnx_debug.torch_private.tensors import tree_leaves

Array = npt.NDArray[Any]

_LARGEST = 1 << 16  # elements of a constant that is looked at
_COMMON = {-1.0, 0.0, 0.5, 1.0, 2.0}  # constants that many graphs have, whatever the input


def baked_constants(path: Path, one: Recording, other: Recording, locator: Locator) -> list[Clue]:
    """Constants that equal something computed from the first input, and would be another for the second.

    Args:
        path: the file exported with the first input.
        one, other: eager runs with the input of the export and with another.
        locator: finds the modules, whose parameters and buffers are constants by right.

    Returns:
        For each constant the module and the line that use it.
    """
    model = onnx.load(path, load_external_data=False)
    computed = list(_computed(one, other))
    found = []
    for name, value in _constants(model, _parameters(locator)).items():
        matches = [
            (fqn, what)
            for fqn, what, number in computed
            if _equal(value, number) and not _by_chance(value, what)
        ]
        if matches:
            clue = _user_of(model, name, locator, path) or Clue(matches[-1][0], ClueKind.BAKED)
            fqn, what = next((match for match in matches if match[0] == clue.fqn), matches[0])
            origin = f"the {what}".replace("the its", "its") + (
                "" if clue.fqn == fqn else f" in {fqn or 'the model'}"
            )
            found.append(
                replace(
                    clue,
                    kind=ClueKind.BAKED,
                    reason=f"the constant {name} = {_text(value)} is {origin}",
                )
            )
    return found


def _parameters(locator: Locator) -> set[str]:
    root = locator.names.modules[""]
    return {name for name, _ in (*root.named_parameters(), *root.named_buffers())}


def _constants(model: onnx.ModelProto, parameters: Collection[str]) -> Mapping[str, Array]:
    """The small constants of the main graph that are neither parameters nor too common to tell anything."""
    tensors = {
        tensor.name: tensor for tensor in model.graph.initializer if tensor.name not in parameters
    }
    for node in model.graph.node:
        held = next(
            (
                attribute.t
                for attribute in node.attribute
                if node.op_type == "Constant" and attribute.name == "value"
            ),
            None,
        )
        tensors |= {} if held is None else {node.output[0]: held}
    readable = {
        n: t
        for n, t in tensors.items()
        if t.data_location != onnx.TensorProto.EXTERNAL and math.prod(t.dims) <= _LARGEST
    }
    values = {name: onnx.numpy_helper.to_array(tensor) for name, tensor in readable.items()}
    return {
        name: value
        for name, value in values.items()
        if value.dtype.kind in "fiub" and not _tells_nothing(value)
    }


def _tells_nothing(value: Array) -> bool:
    return value.dtype.kind == "b" or all(
        float(element) in _COMMON for element in value.reshape(-1)[:64]
    )


def _computed(one: Recording, other: Recording) -> Iterator[tuple[str, str, Array]]:
    """(module, what, value) of everything that the two runs have differently."""
    for first, second in zip(one.calls, other.calls, strict=False):
        if first.fqn != second.fqn:
            return  # from here on the two runs took different ways
        for place, kept, twin in (
            ("input", first.arguments, second.arguments),
            ("output", first.output, second.output),
        ):
            for leaf, leaf_again in zip(_leaves(kept), _leaves(twin), strict=False):
                again = _readings(leaf_again)
                for what, value in _readings(leaf).items():
                    if what in again and not _equal(value, again[what]):
                        yield first.fqn, f"{what} of its {place}" if what else f"its {place}", value


def _leaves(packed: Packed | None) -> list[Any]:
    return [] if packed is None else tree_leaves(unpack(packed.template, packed.leaves))


def _readings(leaf: Any) -> dict[str, Array]:
    """What Python code takes out of a tensor: its values, its sizes, a few common numbers of it."""
    if isinstance(leaf, bool | int | float):
        return {"": np.asarray(leaf)}
    if (
        not isinstance(leaf, torch.Tensor)
        or leaf.layout is not torch.strided
        or leaf.is_complex()
        or not leaf.numel()
    ):
        return {}
    plain = leaf.detach().cpu()
    wide = plain.double()
    flat = wide.reshape(-1)
    found = {f"size {axis}": torch.tensor(size) for axis, size in enumerate(plain.shape)}
    found |= {
        "sum": wide.sum(),
        "mean": wide.mean(),
        "maximum": wide.max(),
        "minimum": wide.min(),
        "norm": wide.norm(),
    }
    found |= {
        "maximum of the absolute values": wide.abs().max(),
        "first element": flat[0],
        "last element": flat[-1],
        "position of the maximum": flat.argmax(),
    }
    if flat.numel() > 1:
        found |= {
            "standard deviation": wide.std(),
            "sum over the first dimension": wide.sum(0),
            "mean over the first dimension": wide.mean(0),
        }
    if flat.numel() <= _LARGEST:
        found[""] = plain.float() if plain.dtype is torch.bfloat16 else plain
    return {what: value.numpy() for what, value in found.items()}


def _equal(constant: Array, value: Array) -> bool:
    """Equal numbers, in any shape; whole numbers exactly, others as far as float32 goes."""
    if constant.size != value.size:
        return False
    if constant.dtype.kind != "f":
        return bool((constant.reshape(-1) == value.reshape(-1)).all())
    close = 2e-3 if constant.dtype == np.float16 else 1e-5
    return np.allclose(
        constant.reshape(-1).astype(np.float64),
        value.reshape(-1).astype(np.float64),
        rtol=close,
        atol=1e-12,
    )


def _user_of(model: onnx.ModelProto, name: str, locator: Locator, path: Path) -> Clue | None:
    """The module that made or uses a constant: one with a line, if there is one."""
    nodes = [node for node in model.graph.node if name in (*node.output, *node.input)]
    found = list(from_onnx_nodes(nodes, locator, path))
    return next((clue for clue in found if clue.source is not None), found[0] if found else None)


def _by_chance(constant: Array, what: str) -> bool:
    """Small whole numbers are everywhere: they say something as a value or a size, not as a maximum or a position."""
    small = (
        constant.size == 1 and constant.dtype.kind in "iu" and abs(int(constant.reshape(()))) < 16
    )
    return small and bool(what) and not what.startswith("size")


def _text(value: Array) -> str:
    elements = ", ".join(f"{element:.6g}" for element in value.reshape(-1)[:3].tolist())
    return elements if value.size == 1 else f"[{elements}{', …' if value.size > 3 else ''}]"
