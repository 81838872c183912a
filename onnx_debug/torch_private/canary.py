"""Whether our hooks still see what they are made for: a small export that passes through each of them.

It is also the warm-up: what the exporter imports and builds at its first use is there afterwards
for every fork of this process.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import nn

from onnx_debug.torch_private import exporter, graphs, modules, onnx_metadata, symbols

_LOST = {
    "calls": "which module runs during an export is not seen",
    "capture": "capture and translation cannot be told apart",
    "decomposition": "operators without translation are found one by one",
    "specialization": "the line that hard-codes a dynamic size is not found",
    "lines": "operators of the captured program have no module or no line",
    "metadata": "nodes of the exported file have no module or no line",
    "registry": "whether an operator has a translation cannot be asked",
    "scopes": "nodes of the exported file have no module",
}


class _Small(nn.Module):
    """Uses a few common operators, and makes its batch size a constant, which dynamic shapes must show."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = cast(torch.Tensor, self.layers(x))
        return y + 1 if x.shape[0] == 3 else y


def check(*, dynamo: bool, opset_version: Any = None) -> tuple[str, ...]:
    """Export a small model and return one note for each thing that our hooks no longer see in this torch.

    Random numbers stay as they are: a model that makes its weights when it first runs must make
    the same ones in every fork.

    Args:
        dynamo: which exporter.
        opset_version: as the user asks for it: its tables are built.
    """
    with warnings.catch_warnings(), torch.random.fork_rng(devices=()):
        warnings.simplefilter("ignore")
        missing = _dynamo(opset_version) if dynamo else _legacy()
    return tuple(
        f"onnx_debug does not know this torch ({torch.__version__}) well: {_LOST[name]}."
        for name in missing
    )


def _dynamo(opset_version: Any) -> list[str]:
    seen: dict[str, Any] = dict.fromkeys(("calls", "capture", "decomposition", "specialization"))

    def capture(make: Callable[[], Any], strict: bool) -> Any:
        with contextlib.nullcontext() if strict else _calls(seen):
            seen["capture"] = make()
        return seen["capture"]

    with (
        exporter.reuse_operator_registry(),
        symbols.watch_specializations(lambda symbol, *_: seen.update(specialization=symbol)),
        exporter.watch_steps(capture, lambda program: seen.update(decomposition=program)),
    ):
        program = torch.onnx.export(
            _Small().eval(),
            (torch.zeros(3, 2),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim.AUTO},),
            opset_version=exporter.opset_of_registry(opset_version),
            verbose=False,
        )
    nodes = seen["capture"].graph.nodes if seen["capture"] is not None else ()
    seen["lines"] = any(graphs.module_paths(node) and graphs.lines_of(node) for node in nodes)
    written = [] if program is None else program.model_proto.graph.node
    seen["metadata"] = any(
        onnx_metadata.module_path(node) and onnx_metadata.read(node, onnx_metadata.STACK_TRACE)
        for node in written
    )
    known = exporter.registered_targets(opset_version, None)
    seen["registry"] = known is not None and known(torch.ops.aten.relu.default)
    return [name for name, found in seen.items() if not found]


def _legacy() -> list[str]:
    seen: dict[str, Any] = {"calls": None}
    file = io.BytesIO()
    with _calls(seen):
        torch.onnx.export(
            _Small().eval(),
            (torch.zeros(3, 2),),
            cast(str, file),
            dynamo=False,
            verbose=False,
        )
    return [name for name, found in seen.items() if not found]


@contextlib.contextmanager
def _calls(seen: dict[str, Any]) -> Iterator[None]:
    def wrap(original: modules.ModuleCall) -> modules.ModuleCall:
        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            seen["calls"] = True
            return original(module, *args, **kwargs)

        return call

    with modules.intercept_module_calls(wrap):
        yield
