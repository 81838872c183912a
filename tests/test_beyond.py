"""A model that passes on the given inputs is tried on others, and what was asked for is looked at."""

from __future__ import annotations

import pytest
import torch
from onnxscript import opset18 as op
from torch import nn
from torch.export import Dim

import onnx_debug
from onnx_debug.data.failure import ClueKind
from onnx_debug.data.outcome import Outcome
from onnx_debug.data.stage import Stage
from onnx_debug.request.case import make_case
from onnx_debug.trial.further_inputs import look_beyond
from tests.zoo import DynamicLength

LEGACY = {"dynamo": False, "input_names": ["x"], "dynamic_axes": {"x": {0: "rows"}}}


class MeanByLength(nn.Module):
    def forward(self, x):
        return x.sum(0) / len(x)


class SignBranch(nn.Module):
    def forward(self, x):
        return x * 2 if x.mean() > 0 else x - 1


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls


class TableOfFour(nn.Module):
    """Takes four rows and no other number."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(4, 3))

    def forward(self, x):
        return x + self.table


class Steep(nn.Module):
    """Of its answer to numbers beyond 1 not one digit is certain."""

    def forward(self, x):
        y = nn.functional.hardswish(x)
        return torch.where(x.abs() > 1, torch.sin(1e5 * y), y)


def after_a_layer(module):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 3), module).eval()


@pytest.mark.parametrize("isolate", [True, False])
def test_a_size_that_tracing_froze_is_found_without_further_inputs(isolate):
    found = onnx_debug.diagnose(
        after_a_layer(MeanByLength()), (torch.randn(2, 3),), isolate=isolate, **LEGACY
    )
    assert [culprit.fqn for culprit in found.culprits] == ["1"]
    assert found.culprits[0].proof.necessary is True
    assert found.failure.stage is Stage.COMPARE
    assert found.failure.clues[0].kind is ClueKind.TRACER_WARNING
    assert "with rows" in found.failure.message
    (row,) = [row for row in found.asked if row.subject == "dynamic_axes['x'][0]"]
    assert row.fails
    assert not row.works


def test_a_branch_that_tracing_froze_is_found_by_values_that_go_the_other_way():
    found = onnx_debug.diagnose(after_a_layer(SignBranch()), (torch.randn(2, 3),), dynamo=False)
    assert found.culprits[0].fqn == "1"
    assert "x.mean() > 0" in found.culprits[0].source.text


def test_the_line_that_fixed_a_dynamic_size_is_found():
    found = onnx_debug.diagnose(
        DynamicLength().eval(), (torch.randn(2, 6, 8),), dynamic_shapes={"x": {1: Dim("length")}}
    )
    assert [culprit.fqn for culprit in found.culprits] == ["position"]
    assert "int(x.shape[1])" in found.culprits[0].source.text


def test_a_size_that_the_model_itself_rejects_is_its_limit():
    found = onnx_debug.diagnose(TableOfFour().eval(), (torch.randn(4, 3),), **LEGACY)
    assert found.ok
    (row,) = [row for row in found.asked if row.subject == "dynamic_axes['x'][0]"]
    assert row.rejected
    assert not row.problem


def test_what_works_is_listed_with_its_sizes(tmp_path):
    found = onnx_debug.diagnose(
        nn.Linear(3, 3),
        (torch.randn(2, 3),),
        f=tmp_path / "m.onnx",
        dynamic_shapes={"input": {0: Dim("rows")}},
    )
    assert found.ok
    assert [(row.asked, row.works) for row in found.asked] == [("dynamic (rows)", (1, 3))]
    assert {row.inputs for row in found.comparisons} == {
        "",
        "fresh values 1",
        "fresh values 2",
        "rows 3 for 2",
        "rows 1 for 2",
    }
    assert len({row.input_index for row in found.comparisons}) == 5
    assert (tmp_path / "m.onnx").exists()


def test_a_name_that_no_input_has_fails_the_request_although_the_model_exports(tmp_path):
    options = {"dynamo": False, "dynamic_axes": {"y": {0: "rows"}}}
    found = onnx_debug.diagnose(
        nn.Linear(3, 3), (torch.randn(2, 3),), f=tmp_path / "m.onnx", **options
    )
    assert found.failure.stage is Stage.OPTIONS
    assert "dynamic_axes['y']" in found.request
    assert not (tmp_path / "m.onnx").exists()


def test_an_answer_that_rounding_decides_is_not_counted():
    nearly = {
        torch.ops.aten.hardswish.default: lambda x: op.Mul(
            op.HardSwish(x), op.Constant(value_float=1 + 3e-7)
        )
    }
    x = torch.linspace(-0.99, 0.99, 64)[torch.randperm(64)].reshape(8, 8)
    found = onnx_debug.diagnose(Steep(), (x,), custom_translation_table=nearly)
    assert found.ok
    assert any("in the last digit" in note for note in found.notes)


def test_what_there_was_no_time_for_is_said():
    with onnx_debug.Session(nn.Linear(3, 3), (torch.randn(2, 3),)) as session:
        session.step()
        whole = session.probe("")
        assert whole.answer == "passed"
        case = make_case(nn.Linear(3, 3), (torch.randn(2, 3),))
        found = look_beyond(
            case,
            Outcome(onnx_path=session.diagnosis.onnx_path),
            lambda inputs, gradients: None,
            lambda stage: None,
            seconds=0.0,
        )
    assert found.notes == ("Only 0 of 2 further inputs were tried: the model takes long.",)


def test_a_model_that_keeps_state_is_said_so():
    model = Counts()
    found = onnx_debug.diagnose(model, (torch.randn(2, 3),), dynamo=False)
    assert found.ok
    assert any("keeps state" in note for note in found.notes)
    assert len(found.comparisons) == 3
    assert model.calls == 0


def test_what_tracing_froze_without_a_visible_difference_is_noted():
    class Guarded(nn.Module):
        def forward(self, x):
            return x - 1 if x.mean() > 1e9 else x * 2

    found = onnx_debug.diagnose(Guarded(), (torch.randn(2, 3),), dynamo=False)
    assert found.ok
    assert any("x.mean() > 1e9" in note for note in found.notes)


def test_an_opset_that_the_file_does_not_have_fails_the_request():
    found = onnx_debug.diagnose(
        nn.Sequential(nn.LayerNorm(3), nn.GELU()), (torch.randn(2, 3),), opset_version=13
    )
    assert found.failure.stage is Stage.OPTIONS
    assert found.culprits == ()
    assert found.failure.message.startswith("opset_version: 13 was asked for, but the file has")
    assert found.request.startswith("opset_version: 13 is too old for this model")


class ShakyBranch(SignBranch):
    def forward(self, x):
        return super().forward(x) + 1e-2 * torch.sin(1e6 * x)


def test_a_difference_far_beyond_what_rounding_changes_counts():
    found = onnx_debug.diagnose(nn.Sequential(ShakyBranch()), (torch.rand(4, 3),), dynamo=False)
    assert found.culprits[0].fqn == "0"
    assert not any("in the last digit" in note for note in found.notes)


class MeanThenLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        mean = x.sum(0) / len(x)
        return self.layer(mean)


def test_a_layer_is_not_to_blame_for_wrong_numbers_that_reach_it():
    found = onnx_debug.diagnose(MeanThenLayer(), (torch.randn(2, 3),), **LEGACY)
    assert [culprit.fqn for culprit in found.culprits] == [""]
    assert found.culprits[0].source.text == "mean = x.sum(0) / len(x)"


def test_of_two_faults_in_a_row_the_second_does_not_hide_the_first():
    class Rows(nn.Module):
        def forward(self, x):
            return x * len(x)

    model = nn.Sequential(Rows(), nn.Linear(3, 3), Rows()).eval()
    found = onnx_debug.diagnose(model, (torch.randn(2, 3),), **LEGACY)
    assert [culprit.fqn for culprit in found.culprits] == ["0", "2"]
