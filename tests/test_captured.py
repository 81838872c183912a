"""What a failed export had captured: the culprit's own operators up to the failing one, for display."""

from __future__ import annotations

import onnx
import pytest
import torch
from torch import nn

import onnx_debug
from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.onnx_file import display


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)


class BadOperator(Layer):
    def forward(self, x):
        left, right = torch.split(self.lin(x), 2)
        return torch.linalg.qr(torch.cat([left, right, x]))[0][:4]


class BadBranch(Layer):
    def forward(self, x):
        y = self.lin(x).relu()
        return y if y.sum() > 0 else -y


class BadNumbers(nn.Module):
    def forward(self, x):
        return x if torch.onnx.is_in_onnx_export() else x + 1


def diagnosed(bad: nn.Module, **options) -> Diagnosis:
    model = nn.Sequential(nn.Linear(4, 4), bad, nn.ReLU()).eval()
    return onnx_debug.diagnose(model, (torch.randn(4, 4),), **options)


def own_graph(d: Diagnosis) -> display.Graph:
    return display.load(d.culprits[0].graph_path)


def test_a_translation_shows_up_to_the_operator_without_one() -> None:
    d = diagnosed(BadOperator())
    graph = own_graph(d)
    assert [(node.op, node.fqn, node.failing) for node in graph.nodes] == [
        ("linear", "1.lin", False),
        ("split", "1", False),
        ("cat", "1", False),
        ("linalg_qr", "1", True),
    ]


def test_a_capture_shows_up_to_the_last_operator_before_the_line() -> None:
    d = diagnosed(BadBranch())
    graph = own_graph(d)
    assert [node.op for node in graph.nodes][:3] == ["linear", "relu", "sum"]
    assert [node.failing for node in graph.nodes] == [False] * (len(graph.nodes) - 1) + [True]
    assert graph.nodes[0].fqn == "1.lin"


def test_shapes_and_weights_stand_in_it() -> None:
    d = diagnosed(BadBranch(), dynamic_shapes=({0: "batch"},))
    shown = onnx.load(d.culprits[0].graph_path).graph
    assert [(weight.name, list(weight.dims), weight.raw_data) for weight in shown.initializer] == [
        ("1.lin.weight", [4, 4], b""),
        ("1.lin.bias", [4], b""),
    ]
    batch, width = shown.input[0].type.tensor_type.shape.dim
    assert (batch.dim_param[:1], width.dim_value) == ("s", 4)


def test_later_failures_show_what_was_exported() -> None:
    d = diagnosed(BadNumbers())
    graph = own_graph(d)
    assert graph.nodes
    assert not any(node.failing for node in graph.nodes)


@pytest.mark.parametrize("dynamo", [True, False])
def test_where_nothing_was_captured_there_is_nothing(dynamo: bool) -> None:
    class Never(nn.Module):
        def forward(self, x):
            if torch.jit.is_tracing() or torch.compiler.is_exporting():
                raise RuntimeError("at once")
            return x

    d = diagnosed(Never(), dynamo=dynamo)
    assert [found.graph_path for found in d.culprits] == [None]
