"""Models that select, hand on objects, or keep something from their first call."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import onnx_debug
from onnx_debug.data.comparison import EdgeKind
from onnx_debug.data.failure import ClueKind
from onnx_debug.data.stage import Stage
from onnx_debug.explain.drift import by_rounding
from onnx_debug.onnx_file.compare import Tolerance, compare_outputs
from tests.test_beyond import LEGACY, after_a_layer


def detections(scores, boxes, threshold=0.5):
    """The boxes of the best scores, best first."""
    order = scores.argsort(descending=True)
    order = order[scores[order] > threshold]
    return boxes[order], scores[order]


def explained(scores, onnx_scores, boxes, function=detections):
    wanted, got = function(scores, boxes), function(onnx_scores, boxes)
    rows = compare_outputs(["boxes", "scores"], wanted, got)
    inputs = ((scores,), {})
    ask = lambda given: list(function(given[0][0], boxes))  # noqa: E731 - as eager answers
    return by_rounding(rows, inputs, wanted, got, ask, Tolerance())


SCORES = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.55, 0.1])
BOXES = torch.arange(24.0).reshape(6, 4)


def test_two_scores_that_tie_may_change_places():
    scores, onnx = SCORES.clone(), SCORES.clone()
    scores[2], onnx[2] = 0.8 - 1e-6, 0.8 + 1e-6
    assert "which rows it selects" in explained(scores, onnx, BOXES)
    onnx[2] = 0.85
    assert not explained(scores, onnx, BOXES)


def test_a_score_at_the_threshold_may_come_and_go():
    scores, onnx = SCORES.clone(), SCORES.clone()
    scores[4], onnx[4] = 0.5 + 6e-8, 0.5
    assert "which rows it selects" in explained(scores, onnx, BOXES)


def test_other_boxes_are_wrong_whatever_hangs_on_rounding():
    scores, onnx = SCORES.clone(), SCORES.clone()
    scores[2], onnx[2] = 0.8 - 1e-6, 0.8 + 1e-6

    def with_wrong_boxes(given, boxes):
        found, kept = detections(given, boxes)
        return (found if given[2] < 0.8 else found + 1, kept)

    rows = compare_outputs(
        ["boxes", "scores"], detections(scores, BOXES), with_wrong_boxes(onnx, BOXES)
    )
    ask = lambda given: list(detections(given[0][0], BOXES))  # noqa: E731 - as eager answers
    wanted, got = detections(scores, BOXES), with_wrong_boxes(onnx, BOXES)
    assert not by_rounding(rows, ((scores,), {}), wanted, got, ask, Tolerance())


class TopRows(nn.Module):
    """Squares sum up in another order in ONNX, and the scores of equal rows tie."""

    def forward(self, x):
        best = torch.topk((x * x).sum(-1), 4).indices
        return x[best]


def test_a_model_that_selects_blames_nobody():
    torch.manual_seed(0)
    row = torch.randn(1, 64)
    x = torch.cat([row.roll(shift, 1) for shift in range(16)])
    found = onnx_debug.diagnose(nn.Sequential(TopRows()), (x,), dynamo=False)
    assert found.culprits == ()
    assert found.ok or found.failure.clues[0].kind is ClueKind.DRIFT


class Images:
    def __init__(self, tensors, sizes):
        self.tensors, self.sizes = tensors, sizes


class Transform(nn.Module):
    def forward(self, x):
        return Images(x * 2, [(x.shape[1], x.shape[2])])


class Scaled(nn.Module):
    def forward(self, images):
        return images.tensors + images.sizes[0][0]


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.transform, self.inner = Transform(), Scaled()

    def forward(self, x):
        return self.inner(self.transform(x))


def test_python_sizes_in_an_object_are_no_outputs():
    options = {**LEGACY, "dynamic_axes": {"x": {1: "h"}}}
    with onnx_debug.Session(Detector(), (torch.rand(2, 3, 4),), **options) as session:
        assert session.run().ok
        assert session.probe("transform").answer == "passed"


class ScaleOfFirst(nn.Module):
    """As `MultiScaleRoIAlign`."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = None

    def forward(self, x):
        if self.scale is None:
            self.scale = float(x.shape[0])
        return x * self.scale


@pytest.mark.parametrize("isolate", [True, False])
def test_what_a_first_call_sets_holds_for_further_inputs(isolate):
    model = after_a_layer(ScaleOfFirst())
    found = onnx_debug.diagnose(
        model,
        (torch.randn(4, 3),),
        check_inputs=[(torch.randn(7, 3),)],
        isolate=isolate,
        **LEGACY,
    )
    assert found.ok
    assert any("The first call sets 1.scale" in note for note in found.notes)
    assert model[1].scale is None


class FreezesOne(nn.Module):
    def forward(self, x):
        return x.mean(1) if x.shape[1] > 1 else x[:, 0] + 1


@pytest.mark.parametrize("edges", ["report", "strict"])
def test_a_size_that_nobody_means_is_told(edges):
    options = {**LEGACY, "dynamic_axes": {"x": {1: "h"}}}
    found = onnx_debug.diagnose(FreezesOne(), (torch.randn(2, 8, 3),), edges=edges, **options)
    if edges == "strict":
        assert found.failure.stage is Stage.COMPARE
        return
    assert found.ok
    (edge,) = [edge for edge in found.edges if edge.kind is EdgeKind.SIZE]
    assert edge.inputs == "h 1 for 8"
    (row,) = [row for row in found.asked if row.subject == "dynamic_axes['x'][1]"]
    assert (row.works, row.fails) == ((4, 12), (1,))


def test_a_batch_of_one_is_meant():
    class FreezesBatch(nn.Module):
        def forward(self, x):
            return x.mean(0) if x.shape[0] > 1 else x[0] + 1

    found = onnx_debug.diagnose(FreezesBatch(), (torch.randn(8, 3),), **LEGACY)
    assert found.failure.stage is Stage.COMPARE


class Padded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x, padding):
        return self.encoder(x, src_key_padding_mask=padding)


def test_another_path_without_gradients_is_a_finding_of_its_own():
    padding = torch.tensor([[False] * 4 + [True] * 2, [False] * 6])
    found = onnx_debug.diagnose(Padded().eval(), (torch.randn(2, 6, 16), padding), dynamo=False)
    assert found.ok
    (edge,) = [edge for edge in found.edges if edge.kind is EdgeKind.GRADIENTS]
    assert "torch.no_grad()" in edge.inputs
    assert edge.fqn == "encoder"


def test_a_model_that_detects_nothing_says_so():
    class Nothing(nn.Module):
        def forward(self, x):
            return x[:, :0]

    class Constant(nn.Module):
        def forward(self, x):
            return torch.ones(3) + 0 * x.shape[0]

    for model, said in ((Nothing(), "every output is empty"), (Constant(), "returns the same")):
        found = onnx_debug.diagnose(model, (torch.randn(2, 3),), dynamo=False)
        assert any(said in note for note in found.notes)
