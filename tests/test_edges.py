"""Inputs at the edge of what a model takes: a difference there is told and stops no export."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import onnx_debug
from onnx_debug.data.comparison import EdgeKind
from onnx_debug.data.stage import Stage
from onnx_debug.eager.edges import edge_inputs
from onnx_debug.explain.known_wrong import known_wrong
from onnx_debug.render.text import render
from onnx_debug.request.case import make_case

X = torch.rand(4, 6) + 0.1


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def largest(x):
    return x.amax(-1)


def log_of_sigmoid(x):
    return F.logsigmoid(x - 1)


def angle(x):
    return torch.atan2(x - x, x)


def small_growth(x):
    return torch.expm1(x) / (x.abs().amax() + 1e-9)


def halves(ids):
    return ids // 2


WRONG = {
    "amax": (largest, X, "NaN here and there", "amax", {"dynamo": False}),
    "logsigmoid": (log_of_sigmoid, -X, "very large values", "logsigmoid", {}),
    "atan2": (angle, X, "negative values and zeros", "atan2", {"dynamo": False}),
    "floor_divide": (
        halves,
        torch.tensor([[3, 5, 8], [7, 1, 2]]),
        "negative whole numbers",
        "floordiv",
        {"dynamo": False},
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_differs_only_at_an_edge_is_a_finding_with_its_operator_and_line(name):
    function, x, inputs, operator, options = WRONG[name]
    model = nn.Sequential(nn.Identity(), Calls(function))
    found = onnx_debug.diagnose(model, (x,), **options)
    assert found.ok
    (edge,) = [edge for edge in found.edges if inputs in edge.inputs]
    assert (edge.kind, edge.fqn) == (EdgeKind.VALUES, "1")
    assert operator in edge.op
    assert "known to be wrong" in edge.known
    assert "Differs at an edge" in render(found)


@pytest.mark.parametrize("isolate", [True, False])
def test_strict_edges_fail_the_export(isolate):
    model = nn.Sequential(Calls(largest), nn.Linear(4, 4)).eval()
    options = {"dynamo": False, "isolate": isolate}
    found = onnx_debug.diagnose(model, (X,), edges="strict", **options)
    assert found.failure.stage is Stage.COMPARE
    assert "NaN here and there" in found.failure.message
    assert [culprit.fqn for culprit in found.culprits] == ["0"]
    assert onnx_debug.diagnose(model, (X,), edges="off", **options).edges == ()


def test_an_honest_network_has_no_findings():
    layers = [nn.Linear(6, 6), nn.LayerNorm(6), nn.ReLU(), nn.Tanh(), nn.Softmax(-1)]
    found = onnx_debug.diagnose(nn.Sequential(*layers).eval(), (X,), dynamo=False)
    assert found.ok
    assert found.edges == ()


def test_a_row_that_a_mask_hides_entirely():
    def attend(x, mask):
        return F.scaled_dot_product_attention(x, x, x, attn_mask=mask)

    x, mask = torch.randn(1, 2, 4, 8), torch.ones(4, 4, dtype=torch.bool).tril()
    found = onnx_debug.diagnose(Calls(attend), (x, mask))
    assert found.ok
    (edge,) = [edge for edge in found.edges if "masks all low" in edge.inputs]
    assert "scaled_dot_product_attention" in edge.op
    assert "hides entirely" in edge.known


def test_which_of_equal_values_is_taken_is_left_open():
    class Best(nn.Module):
        def __init__(self):
            super().__init__()
            self.places = nn.Parameter(torch.randn(64, 2))

        def forward(self, x):
            return self.places[torch.topk(x.sum(-1), 3).indices]

    found = onnx_debug.diagnose(Best(), (torch.randn(64, 4),), dynamo=False)
    assert found.ok
    assert [edge for edge in found.edges if "zeros" in edge.inputs.split("; ")] == []


def edges_of(*args):
    found = edge_inputs(make_case(Calls(lambda *given: given[0]), args))
    return {one.description: one.inputs[0] for one in found}


def test_each_kind_of_input_has_its_edges():
    assert len(edges_of(X)) == 7
    mask = torch.tensor([[True, False, True]])
    assert set(edges_of(mask)) == {"masks all low", "masks all high"}
    ids = torch.tensor([[4, 9, 2]])
    found = edges_of(ids)
    assert found["repeated whole numbers"][0].tolist() == [[2, 2, 2]]
    assert found["negative whole numbers"][0].tolist() == [[-4, -9, -2]]


def test_positions_and_masks_to_be_added_stay():
    steps, mask = torch.linspace(0, 1, 6), torch.full((3, 3), float("-inf")).triu(1)
    x = torch.randn(5)
    for kept, still, _ in edges_of(steps, mask, x).values():
        assert torch.equal(kept, steps)
        assert still.isfinite().sum() in (0, 6, 9)


def test_what_is_known_depends_on_the_exporter():
    assert "NaN for 0" not in known_wrong("aten::atan2", dynamo=True)
    assert "NaN for 0" in known_wrong("torch.atan2", dynamo=False)
    assert not known_wrong("torch.Tensor.unfold", dynamo=True)
    assert not known_wrong("torch.add", dynamo=True)
