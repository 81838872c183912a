"""What fits with what: opsets, files and a model's exports, each answer found by trying."""

from __future__ import annotations

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

import onnx_debug
from onnx_debug.__main__ import main
from onnx_debug.data.compatibility import Cell, Compatibility, RuntimeOpset
from onnx_debug.data.errors import CaseError
from onnx_debug.data.stage import Stage, Verdict
from onnx_debug.onnx_file import lint
from onnx_debug.render import compatibility
from onnx_debug.session.compatibility import file, look
from onnx_debug.session.compatibility.installed import problems

X = torch.randn(2, 4)


class Cumulative(nn.Module):
    def forward(self, x):
        return torch.cummax(x, 1).values


def write(path, nodes, opsets, dtype=TensorProto.FLOAT, **details):
    values = [helper.make_tensor_value_info(name, dtype, [2]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "made", values[:1], values[1:])
    imported = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    onnx.save(helper.make_model(graph, opset_imports=imported, **details), path)
    return path


def relu(**details):
    return [helper.make_node("Relu", ["x"], ["y"], **details)]


def test_a_model_over_exporters_and_opsets():
    report = onnx_debug.compat(nn.Linear(4, 4).eval(), (X,), opsets=(13, 18))
    assert report.ok
    assert report.model_class == "Linear"
    assert report.cell(dynamo=False, asked=13).got == 13
    assert report.cell(dynamo=True, asked=18).got == 18
    assert all(cell.verdict is Verdict.PASSED for cell in report.cells)
    assert "Linear, exported, loaded, run and compared" in str(report)


def test_a_model_that_fails_says_where_in_each_cell():
    report = onnx_debug.compat(Cumulative(), (X,), opsets=(18,))
    assert not report.ok
    cell = report.cell(dynamo=True, asked=18)
    assert (cell.verdict, cell.stage, cell.got) == (Verdict.FAILED, Stage.TRANSLATE, None)
    assert "✗ translate" in str(report)


def test_dynamic_sizes_are_told_to_each_exporter_in_its_own_words():
    shapes = {"input": {0: torch.export.Dim("batch")}}
    report = onnx_debug.compat(nn.Linear(4, 4).eval(), (X,), opsets=(18,), dynamic_shapes=shapes)
    assert [cell.verdict for cell in report.cells] == [Verdict.PASSED] * 4


def test_what_comes_out_of_an_opset_that_an_exporter_does_not_write():
    report = onnx_debug.compat(nn.Linear(4, 4).eval(), (X,), opsets=(), opset_version=9)
    assert report.requested == 9
    said = str(report)
    assert f"opset_version=9 with dynamo=True: ✓ a file of opset {report.cells[1].got}." in said
    assert "opset_version=9 with dynamo=False: ✓ a file of opset 9." in said


def test_a_file_that_loads(tmp_path):
    path = write(tmp_path / "good.onnx", relu(), {"": 18}, ir_version=8)
    found = onnx_debug.compat(path)
    assert found.ok
    assert found.file.opsets == {"": 18}
    assert "loads" in str(found)


def test_an_opset_that_is_too_new(tmp_path, capsys):
    path = write(tmp_path / "new.onnx", relu(), {"": 999}, ir_version=8)
    found = onnx_debug.compat(path)
    assert not found.ok
    assert "opset 999" in found.file.reasons[0]
    newest = max(one.opset for one in found.runtime if not one.said)
    assert f"opset_version={newest}" in found.file.reasons[0]
    assert main(["compat", str(path), "-q"]) == 1
    assert "does not load" in capsys.readouterr().out


def test_a_file_format_that_is_too_new(tmp_path):
    path = write(tmp_path / "format.onnx", relu(), {"": 18}, ir_version=99)
    assert "IR version 99" in onnx_debug.compat(path).file.reasons[0]


@pytest.mark.parametrize(
    ("nodes", "opsets", "dtype", "said"),
    [
        (relu(domain="mine"), {"": 18, "mine": 1}, TensorProto.FLOAT, "of the domain 'mine'"),
        (relu(domain="mine"), {"": 18}, TensorProto.FLOAT, "which the file does not import"),
        (
            [helper.make_node("Erf", ["x"], ["y"])],
            {"": 18},
            TensorProto.DOUBLE,
            "Erf of opset 18 has no kernel for double",
        ),
        ([helper.make_node("Nothing", ["x"], ["y"])], {"": 18}, TensorProto.FLOAT, "no operator"),
    ],
)
def test_operators_that_the_runtime_lacks(tmp_path, nodes, opsets, dtype, said):
    path = write(tmp_path / "odd.onnx", nodes, opsets, dtype, ir_version=8)
    reasons = onnx_debug.compat(path).file.reasons
    assert len(reasons) == 1
    assert said in reasons[0]


def test_what_is_no_onnx_file_is_said(tmp_path):
    path = tmp_path / "text.onnx"
    path.write_text("no model at all")
    assert onnx_debug.compat(path).file.reasons == ("it cannot be read: it is no ONNX file",)
    with pytest.raises(CaseError, match="there is no file"):
        onnx_debug.compat(tmp_path / "none.onnx")


def test_time_that_is_over_leaves_opsets_untried():
    report = onnx_debug.compat(nn.Linear(4, 4).eval(), (X,), opsets=(18,), limit=0.0)
    assert {cell.verdict for cell in report.cells} == {Verdict.NOT_BEGUN}
    assert not report.ok
    assert any("time was over" in note for note in report.notes)


def test_a_crash_of_the_runtime_is_an_answer(tmp_path, monkeypatch):
    def crash(*_):
        import os

        os.abort()

    monkeypatch.setattr(file, "open_session", crash)
    path = write(tmp_path / "good.onnx", relu(), {"": 18}, ir_version=8)
    report = onnx_debug.compat(path)
    assert report.file.loads is None
    assert not report.ok
    assert "is not known" in str(report)
    assert any(note.startswith("Whether the file loads") for note in report.notes)


def test_combinations_that_do_not_fit():
    runs = tuple(RuntimeOpset(n, "" if n < 18 else "too new") for n in (17, 18))
    cell = Cell(True, None, Verdict.FAILED, 20, Stage.LOAD, "opset 20 is not supported")
    (said,) = problems((cell,), runs, "")
    assert "writes opset 20" in said
    assert "opset_version=17" in said
    (said,) = problems((), (), "Unsupported model IR version")
    assert "IR version" in said


def test_equal_rows_are_one_and_html_escapes_what_is_said():
    cells = tuple(Cell(True, n, Verdict.FAILED, None, Stage.LOAD, "<b>no</b>") for n in (7, 8, 9))
    report = Compatibility({"torch": "2"}, cells=cells)
    assert "7 to 9" in compatibility.text(report)
    html = compatibility.fragment(report)
    assert "&lt;b&gt;no" in html
    assert "<table" in html


def test_the_magic_takes_a_model_a_file_or_nothing(shell, monkeypatch, tmp_path):
    asked = []

    def compat(**keywords):
        asked.append(keywords)
        return Compatibility({"torch": "2"})

    monkeypatch.setattr(look, "compat", compat)
    shell.push({"net": nn.Linear(4, 4), "x": X})
    shell.run_line_magic("onnx_compat", "-q")
    shell.run_line_magic("onnx_compat", "-q model.onnx")
    shell.run_line_magic("onnx_compat", "-q --opset 13 net, (x,)")
    assert "model" not in asked[0]
    assert asked[1]["model"] == "model.onnx"
    assert asked[2]["args"] == (X,)
    assert asked[2]["opset_version"] == 13


def test_what_the_linter_says_is_led_back_to_module_and_line(tmp_path, monkeypatch):
    class Answer:
        stdout = '[{"code": "ONNX017", "message": "No schema found.", "location": "graph:node[0](Relu)"}]'

    node = relu()[0]
    scopes = "['', 'blocks.1', 'relu']"
    stack = 'File "/home/me/net.py", line 7, in forward\n    return x.relu()'
    for key, value in (("name_scopes", scopes), ("stack_trace", stack)):
        node.metadata_props.add(key=f"pkg.torch.onnx.{key}", value=value)
    path = write(tmp_path / "made.onnx", [node], {"": 18}, ir_version=10)
    monkeypatch.setattr(lint.importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(lint.subprocess, "run", lambda *_, **__: Answer())
    assert lint.findings(path) == ("ONNX017 No schema found. (blocks.1, net.py:7)",)
    monkeypatch.setattr(lint.importlib.util, "find_spec", lambda _: None)
    assert lint.findings(path) == ()
