"""The intermediate values of an exported file: all from one ONNX Runtime session, or from a few where they would not fit in memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import fx

from onnx_debug.onnx_file import runtime
from onnx_debug.onnx_file.feeds import feeds_for
from onnx_debug.onnx_file.runnable import make_runnable
from onnx_debug.torch_private import symbols


class OnnxValues:
    """Values by name, to be asked for in the order of the graph.

    Args:
        path: the exported file.
        graph: the FX graph that it was made from.
        leaves: what is passed to the model.
        memory: bytes to keep at once.
    """

    def __init__(self, path: Path, graph: fx.Graph, leaves: Sequence[Any], memory: int) -> None:
        self.sessions = 0
        self._path, self._leaves = path, leaves
        model = onnx.load(path, load_external_data=False)
        known = {name for node in model.graph.node for name in node.output} | {
            tensor.name for tensor in model.graph.initializer
        }
        sizes = [
            (node.name, _bytes(node))
            for node in graph.nodes
            if node.op == "call_function" and node.name in known
        ]
        self._slices = list(_slices(sizes, memory))
        self._slice_of = {
            name: number for number, names in enumerate(self._slices) for name in names
        }
        self._loaded = -1
        self._values: dict[str, torch.Tensor] = {}

    def get(self, name: str) -> torch.Tensor | None:
        """The value, or None when the file has none of this name."""
        number = self._slice_of.get(name)
        if number is None:
            return None
        if number != self._loaded:
            self._loaded, self._values = number, {}
            self._values = self._run(self._slices[number])
        return self._values.pop(name, None)

    def _run(self, names: list[str]) -> dict[str, torch.Tensor]:
        runnable = make_runnable(self._path, also=names)
        feeds = feeds_for(runnable, self._leaves)
        self.sessions += 1
        session = runtime.open_session(runnable.path)
        return dict(zip(names, runtime.run_session(session, names, feeds), strict=True))


def _slices(sizes: Iterable[tuple[str, int]], memory: int) -> Iterator[list[str]]:
    names: list[str] = []
    taken = 0
    for name, size in sizes:
        if names and taken + size > memory:
            yield names
            names, taken = [], 0
        names.append(name)
        taken += size
    if names:
        yield names


def _bytes(node: fx.Node) -> int:
    """How large the value is with the example's sizes; 0 where that depends on data."""
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        return 0
    sizes = [symbols.size_hint(size) for size in value.shape]
    return math.prod(size or 0 for size in sizes) * value.element_size()
