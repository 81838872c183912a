"""`fix=True` and `--fix`: a copy with the first fix is exported to the user's path; the model stays as it is."""

from __future__ import annotations

import io

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import onnx_debug
from onnx_debug.__main__ import main
from onnx_debug.data.errors import CaseError
from onnx_debug.data.stage import Verdict
from onnx_debug.frontends.intercept_export import onnx_program
from onnx_debug.render.text import render
from tests import samples

pytestmark = pytest.mark.fixes
X = torch.randn(3, 8)


class Gate(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x * 2
        return x - 1


class Roots(nn.Module):
    """No change is known for this operator."""

    def forward(self, x):
        return torch.linalg.eigvals(x[:, None] * x[..., None]).abs()


def network(culprit):
    return nn.Sequential(nn.Linear(8, 8), culprit).eval()


@pytest.mark.parametrize("sign", [1, -1])
def test_the_file_of_the_fix_answers_as_the_model_that_stays_as_it_is(tmp_path, sign):
    model, path = network(Gate()), tmp_path / "model.onnx"
    d = onnx_debug.diagnose(model, (X,), f=path, fix=True)
    assert d.verdict is Verdict.FAILED
    assert d.fixed
    assert d.written.path == str(path)
    x = X * 100 * sign  # the branch goes either way
    (got,) = onnxruntime.InferenceSession(path).run(None, {"input": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(got), model(x), rtol=1e-4, atol=1e-3)
    assert type(model[1]) is Gate


def test_the_program_of_a_fix_is_the_changed_copy():
    d = onnx_debug.diagnose(network(Gate()), (X,), fix=True)
    assert d.usable_path != d.onnx_path
    onnx.checker.check_model(onnx_program(d).model_proto)
    assert "Nothing was written: no path was given" in render(d)


def test_without_a_fix_nothing_is_written(tmp_path):
    path = tmp_path / "model.onnx"
    d = onnx_debug.diagnose(network(Roots()), (X,), f=path, fix=True)
    assert not d.fixed
    assert d.usable_path is None
    assert not path.exists()
    assert "No change was found that makes it export" in render(d)


def test_a_model_that_exports_is_written_unchanged():
    stream = io.BytesIO()
    d = onnx_debug.diagnose(network(nn.ReLU()), (X,), f=stream, fix=True)
    assert d.ok
    assert not d.fixed
    assert onnx.load_from_string(stream.getvalue()).graph.node


def test_a_request_is_fixed_like_a_model(tmp_path):
    path = tmp_path / "model.onnx"
    wrong = {"inpt": {0: torch.export.Dim("batch")}}
    d = onnx_debug.diagnose(network(nn.ReLU()), (X,), dynamic_shapes=wrong, f=path, fix=True)
    assert d.request
    assert d.fixed
    assert onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_param


def test_a_fix_needs_the_search_for_fixes():
    with pytest.raises(CaseError, match="only where fixes are looked for"):
        onnx_debug.Session(network(Gate()), (X,), fixes=False, fix=True)


def test_what_was_changed_is_said_in_one_sentence():
    last = render(samples.fixed()).splitlines()[-1]
    assert last.startswith("  Next: take model.onnx (12 kB, opset 20, 14 nodes), ")
    assert f"exported from a copy of the model with this change: {samples.FIX.title}" in last


def test_the_command_line_counts_a_fix_as_an_export(tmp_path, engine, monkeypatch):
    (tmp_path / "fixable.py").write_text("def make():\n    return 'model', (1,)\n")
    monkeypatch.syspath_prepend(tmp_path)
    engine.answer = samples.fixed()
    assert main([f"{tmp_path / 'fixable.py'}:make", "--fix", "-q"]) == 0
    assert engine.asked[0].rest["fix"]


def test_in_a_notebook_the_call_returns_the_program_and_the_cell_goes_on(shell, engine):
    engine.answer = samples.fixed()
    cell = "%%onnx_export --fix\nimport torch\np = torch.onnx.export('model', (1,), 'm.onnx')\nwent_on = True"
    result = shell.run_cell(cell)
    result.raise_error()
    assert shell.user_ns["p"] == "the program"
    assert shell.user_ns["went_on"]
    assert result.result == engine.answer
