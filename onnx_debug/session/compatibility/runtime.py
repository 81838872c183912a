"""Which opsets and which file format ONNX Runtime takes: one node a file, loaded and run."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import torch
from onnx import TensorProto, helper

from onnx_debug.data.compatibility import RuntimeOpset
from onnx_debug.onnx_file.runtime import open_session, run_session
from onnx_debug.request.keywords import FIRST_OPSET
from onnx_debug.runner.questions import Context, Question

NEWEST_OPSET = onnx.defs.onnx_opset_version()


@dataclass(frozen=True)
class TryOpsets(Question[tuple[RuntimeOpset, ...]]):
    """Which opsets does ONNX Runtime run here?"""

    def run(self, context: Context) -> tuple[RuntimeOpset, ...]:
        """Run one node of each."""
        del context
        opsets = range(FIRST_OPSET, NEWEST_OPSET + 1)
        return tuple(RuntimeOpset(opset, refusal(opset)) for opset in opsets)


@dataclass(frozen=True)
class TryFormat(Question[str]):
    """Does ONNX Runtime read the file format that this onnx writes by itself? Its refusal, or empty."""

    def run(self, context: Context) -> str:
        """Load one node."""
        del context
        return refusal(FIRST_OPSET, onnx.IR_VERSION)


def refusal(opset: int, ir_version: int | None = None) -> str:
    """What ONNX Runtime says against a file of one node; empty when it runs it.

    Args:
        opset: of the standard operators.
        ir_version: of the file format; None: the oldest that this opset may have.
    """
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", value[:1], value[1:])
    imported = [helper.make_opsetid("", opset)]
    try:
        oldest = helper.find_min_ir_version_for(imported)
        model = helper.make_model(
            graph, opset_imports=imported, ir_version=ir_version or max(oldest, 4)
        )
        session = open_session(model.SerializeToString())
        run_session(session, ["y"], {"x": torch.ones(2)})
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's exception types have no common base
        return str(error).strip().partition("\n")[0]
    return ""
