"""The command line: options as in the magic, exit status 0, 1 or 2."""

from __future__ import annotations

import json
import sys

import pytest

from onnx_debug.__main__ import main
from onnx_debug.data.diagnosis import Diagnosis
from tests import samples


@pytest.fixture
def model_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "my_model.py"
    path.write_text(
        "import my_part\ndef make():\n    return my_part.model, (1,), {'y': 2}, {'dynamo': False}\nbroken = 3\ndef short():\n    return 1\n"
    )
    (tmp_path / "my_part.py").write_text("model = 'model'\n")
    yield path
    for name in ("my_model", "my_part"):
        sys.modules.pop(name, None)


def test_passes_the_case_and_its_options_on(model_file, engine):
    assert main([f"{model_file}:make", "--opset", "18"]) == 0
    (asked,) = engine.asked
    assert (asked.model, asked.args, asked.kwargs) == ("model", (1,), {"y": 2})
    assert asked.rest == {
        "dynamo": False,
        "opset_version": 18,
        "timeout": 60.0,
        "edges": "report",
        "isolate": True,
        "fixes": True,
    }


def test_a_failing_export_prints_the_answer_and_writes_both_files(
    model_file, engine, tmp_path, capsys
):
    engine.answer = samples.three()
    page, data = tmp_path / "report.html", tmp_path / "report.json"
    assert main([f"{model_file}:make", "--html", str(page), "--json", str(data)]) == 1
    assert capsys.readouterr().out.startswith(
        "✗ Export stops at translate: 3 of 103 modules block it."
    )
    assert page.read_text().lower().startswith("<!doctype html>")
    assert Diagnosis.from_dict(json.loads(data.read_text())) == engine.answer


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("nothing", "is not of the form FILE.py:FUNCTION"),
        ("missing.py:make", "there is no file missing.py"),
        ("no_such_package.module:make", "No module named 'no_such_package'"),
        ("{file}:nope", "has no function 'nope'"),
        ("{file}:broken", "has no function 'broken'"),
        ("{file}:short", "must return (model, args"),
    ],
)
def test_a_wrong_call_is_status_2_and_one_clear_line(model_file, engine, capsys, case, said):
    with pytest.raises(SystemExit) as end:
        main([case.format(file=model_file)])
    assert end.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
