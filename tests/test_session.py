"""A session, step by step and as a whole; what it says of the request, the inputs and the files."""

from __future__ import annotations

import io
import json

import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.export import Dim

import onnx_debug
from onnx_debug.data import events
from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.errors import CaseError, SessionClosedError
from onnx_debug.data.stage import Stage, Verdict
from tests import zoo


def test_stepping_asks_the_same_questions_as_running():
    model, given = zoo.Stack({1: zoo.DataDependentBranch()}).eval(), (torch.randn(2, 5, 8),)
    with onnx_debug.Session(model, given) as session:
        steps = []
        while (step := session.step()) is not None:
            steps.append((step.module, step.stubs, step.answer))
        assert session.finished
        assert session.diagnosis.culprits[0].fqn == "blocks.1.extra"
    again = onnx_debug.diagnose(model, given)
    assert steps == [(step.module, step.stubs, step.answer) for step in again.trials]


def test_any_module_can_be_probed():
    with onnx_debug.Session(
        zoo.Stack({1: zoo.DataDependentBranch()}).eval(), (torch.randn(2, 5, 8),)
    ) as session:
        assert session.probe("blocks.0").answer is Verdict.PASSED
        assert session.probe("blocks.1").answer is Verdict.FAILED
        assert session.probe("blocks.1", stubs=["blocks.1.extra"]).answer is Verdict.PASSED
        assert session.probe("head", stubs=["blocks.0"]).answer is Verdict.UNRESOLVED
        with pytest.raises(ValueError, match=r"no module 'blocks\.9'"):
            session.probe("blocks.9")


def test_a_closed_session_says_so():
    session = onnx_debug.Session(nn.Linear(2, 2).eval(), (torch.randn(1, 2),))
    session.run()
    session.close()
    with pytest.raises(SessionClosedError):
        session.probe("")


def test_events_tell_what_happens():
    seen = []
    onnx_debug.diagnose(
        zoo.Stack({1: zoo.DataDependentBranch()}).eval(),
        (torch.randn(2, 5, 8),),
        on_event=seen.append,
    )
    assert isinstance(seen[0], events.Started)
    assert [event.number for event in seen if isinstance(event, events.TrialStarted)] == [1, 2, 3]
    assert [event.culprit.fqn for event in seen if isinstance(event, events.CulpritFound)] == [
        "blocks.1.extra"
    ]


def test_a_diagnosis_survives_json():
    found = onnx_debug.diagnose(zoo.SharedTwice().eval(), (torch.randn(2, 5, 8),))
    assert found.culprits[0].aliases == ("right",)
    assert Diagnosis.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_the_partial_graph_shows_the_culprit_as_one_node():
    found = onnx_debug.diagnose(
        zoo.Stack({1: zoo.UntranslatedOperator()}).eval(), (torch.randn(2, 5, 8),)
    )
    graph = onnx.load(found.onnx_path).graph
    (placeholder,) = [node for node in graph.node if node.domain == "onnx_debug"]
    assert placeholder.op_type == "UntranslatedOperator"
    assert {
        attribute.name: onnx.helper.get_attribute_value(attribute)
        for attribute in placeholder.attribute
    }["module"] == b"blocks.1.extra"
    assert len(graph.node) > 10


def test_a_culprit_describes_its_tensors():
    options = {"dynamic_shapes": {"x": {0: Dim("batch")}}}
    found = onnx_debug.diagnose(
        zoo.Stack({1: zoo.UntranslatedOperator()}).eval(), (torch.randn(3, 5, 8),), **options
    )
    (given,) = found.culprits[0].inputs
    assert (given.name, given.dtype, given.shape, given.device, given.nan_count) == (
        "x",
        "float32",
        (3, 5, 8),
        "cpu",
        0,
    )
    assert isinstance(given.symbolic_shape[0], str)
    assert given.symbolic_shape[1:] == (5, 8)
    assert given.min < 0 < given.max


@pytest.mark.parametrize("dynamo", [True, False])
def test_a_passing_export_writes_the_file_that_torch_would_write(tmp_path, dynamo):
    model, given = zoo.Stack().eval(), (torch.randn(2, 5, 8),)
    options = {"dynamo": dynamo, "input_names": ["tokens"], "output_names": ["scores"]}
    found = onnx_debug.diagnose(model, given, f=tmp_path / "ours.onnx", **options)
    torch.onnx.export(model, given, tmp_path / "theirs.onnx", verbose=False, **options)
    assert found.ok
    results = []
    for name in ("ours", "theirs"):
        session = onnxruntime.InferenceSession(tmp_path / f"{name}.onnx")
        assert [value.name for value in (*session.get_inputs(), *session.get_outputs())] == [
            "tokens",
            "scores",
        ]
        results.append(session.run(None, {"tokens": given[0].numpy()})[0])
    assert (results[0] == results[1]).all()
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]


def test_a_stream_takes_the_file():
    stream = io.BytesIO()
    found = onnx_debug.diagnose(nn.Linear(2, 2).eval(), (torch.randn(1, 2),), f=stream)
    assert found.ok
    assert onnx.load_from_string(stream.getvalue()).graph.node


def test_an_unwritable_path_is_said_and_loses_nothing(tmp_path):
    found = onnx_debug.diagnose(
        nn.Linear(2, 2).eval(), (torch.randn(1, 2),), f=tmp_path / "missing" / "model.onnx"
    )
    assert found.ok
    assert "cannot be written to" in found.unwritten
    assert onnx.load(found.onnx_path).graph.node


def test_a_failing_export_writes_nothing(tmp_path):
    onnx_debug.diagnose(zoo.RootOwnCode().eval(), (torch.randn(8, 8),), f=tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_the_commonest_wrong_request_gets_the_call_that_works():
    axes = {"input": {0: "batch_size"}, "output": {0: "batch_size"}}
    found = onnx_debug.diagnose(zoo.ConvNet().eval(), (torch.randn(2, 1, 8, 8),), dynamic_axes=axes)
    assert found.failure.stage is Stage.OPTIONS
    assert found.culprits == ()
    assert "dynamic_axes['input']" in found.request
    (fix,) = found.fixes
    assert fix.outcome.ok
    assert "image" in fix.code
    assert "batch_size" in fix.code
    call = fix.code.replace('"model.onnx"', "None")
    names = {"torch": torch, "model": zoo.ConvNet().eval(), "image": torch.randn(2, 1, 8, 8)}
    exec(compile(call, "fix", "exec"), names)


def test_a_request_that_no_module_explains_is_named():
    found = onnx_debug.diagnose(
        nn.Linear(2, 2).eval(), (torch.randn(4, 2),), dynamic_shapes={"inputs": {0: Dim("batch")}}
    )
    assert found.failure.stage is Stage.OPTIONS
    assert "dynamic_shapes['inputs']" in found.request
    assert "input" in found.fixes[0].code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("not a model", ()), "must be a torch.nn.Module, not a str"),
        ((nn.Linear, ()), "make an instance"),
        ((nn.Linear(2, 2), ()), "do not fit Linear.forward"),
        ((nn.Linear(2, 2), (torch.ones(1), torch.ones(1))), "do not fit Linear.forward"),
    ],
)
def test_misuse_is_one_clear_line(arguments, words):
    with pytest.raises(CaseError, match=words) as caught:
        onnx_debug.diagnose(*arguments)
    assert "\n" not in str(caught.value)


def test_an_unknown_option_is_named_with_the_nearest():
    with pytest.raises(CaseError, match="no option 'opset'; did you mean opset_version"):
        onnx_debug.diagnose(nn.Linear(2, 2), (torch.ones(1, 2),), opset=17)


def test_a_model_that_fails_in_eager_is_told_apart_from_its_export():
    found = onnx_debug.diagnose(
        nn.Sequential(nn.Linear(2, 2), zoo.WrongInEager()).eval(), (torch.randn(1, 2),)
    )
    assert found.failure.stage is Stage.EAGER
    assert found.culprits[0].fqn == "1"
    assert "torch.zeros(3, 3)" in found.culprits[0].source.text


def test_training_mode_is_said_first():
    found = onnx_debug.diagnose(
        nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0)), (torch.randn(1, 2),)
    )
    assert "training mode" in found.notes[0]


class KeywordsAndConstants(nn.Module):
    """Positional, keyword, dict, None, number and text in; a dict with None out."""

    def forward(self, x, scale=2.0, *, extra, mode="add", mask=None):
        y = x * scale + extra["bias"] if mode == "add" else x
        return {"y": y if mask is None else y * mask, "none": None}


def test_arguments_and_outputs_of_every_kind_compare():
    kwargs = {"mode": "add", "extra": {"bias": torch.ones(2)}}
    found = onnx_debug.diagnose(KeywordsAndConstants().eval(), (torch.randn(3, 2), 0.5), kwargs)
    assert found.ok
    assert {row.problem for row in found.comparisons} == {""}


class EveryType(nn.Module):
    def forward(self, given, empty, alias, unused=None):
        return (
            {name: value.unsqueeze(0) for name, value in given.items()},
            (alias, empty.sum(0)),
            [alias * float("nan"), None],
        )


def test_tensors_of_every_type_empty_ones_aliases_and_nan_compare():
    types = (torch.float16, torch.bfloat16, torch.float64, torch.bool, torch.int8, torch.int64)
    given = {str(dtype): torch.ones(3, 2).to(dtype) for dtype in types}
    found = onnx_debug.diagnose(
        EveryType().eval(), (given, torch.ones(0, 4), torch.randn(3)), dynamo=False
    )
    assert found.ok
    assert len([row for row in found.comparisons if row.input_index == 0]) == len(types) + 3


def test_an_operator_that_only_lacks_complex_numbers_says_so():
    found = onnx_debug.diagnose(
        EveryType().eval(),
        ({"z": torch.ones(3, dtype=torch.complex64)}, torch.ones(0, 4), torch.ones(3)),
    )
    assert found.culprits[0].reason == "aten::unsqueeze has no ONNX translation for complex64"


def test_a_custom_translation_table_passes_through_and_helps():
    from onnxscript import opset20 as op

    def qr_of_nothing(x, mode="reduced"):
        return op.Identity(x), op.Identity(x)

    table = {torch.ops.aten.linalg_qr.default: qr_of_nothing}
    plain = onnx_debug.diagnose(zoo.RootOwnCode().eval(), (torch.randn(8, 8),))
    helped = onnx_debug.diagnose(
        zoo.RootOwnCode().eval(), (torch.randn(8, 8),), custom_translation_table=table
    )
    assert plain.failure.stage is Stage.TRANSLATE
    assert helped.failure.stage is Stage.COMPARE


@pytest.mark.parametrize("dynamo", [True, False])
def test_a_dict_before_an_empty_dict_is_an_argument_of_the_model(dynamo):
    batch = {"x": torch.randn(2, 4), "scale": torch.ones(1)}
    assert onnx_debug.diagnose(zoo.FromDict(), (batch, {}), dynamo=dynamo).ok


def test_a_file_that_lacks_what_was_asked_for_is_the_request_s_fault_without_another_trial():
    found = onnx_debug.diagnose(zoo.ConvNet().eval(), (torch.randn(1, 1, 8, 8),), opset_version=13)
    assert "opset_version: 13" in found.request
    assert len(found.trials) == 2
