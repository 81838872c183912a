"""The command line: options as in the magic, exit status 0 to 3, one line for a wrong call."""

from __future__ import annotations

import importlib
import json
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from onnx_debug.__main__ import _parser, main
from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.errors import CaseError
from onnx_debug.frontends.options import to_keywords
from tests import samples

ROOT = Path(__file__).parents[1]


@pytest.fixture
def model_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "my_model.py"
    path.write_text(
        "import my_part\ndef make():\n    return my_part.model, (1,), {'y': 2}, {'dynamo': False}\nbroken = 3\ndef short():\n    return 1\n"
        "def raises():\n    raise ValueError('no weights\\nhere')\n"
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
        "fix": False,
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


def refused(arguments, capsys):
    """The one line that a wrong call gets."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("nothing", "is not of the form FILE.py:FUNCTION"),
        ("{file}", "is not of the form FILE.py:FUNCTION; its functions are make, short, raises"),
        ("missing.py:make", "there is no file missing.py"),
        ("{file}x.py:make", "did you mean {file}?"),
        ("no_such_package.module:make", "No module named 'no_such_package'"),
        ("{file}:mkae", "has no function 'mkae'; did you mean make?"),
        ("{file}:nope", "has no function 'nope'; its functions are make, short, raises"),
        ("{file}:broken", "has no function 'broken'"),
        ("{file}:short", "must return (model, args"),
        ("{file}:raises", "raises ValueError: no weights here ({file}:8)"),
    ],
)
def test_a_wrong_case_is_status_2_and_one_clear_line(model_file, engine, capsys, case, said):
    line = refused([case.format(file=model_file)], capsys)
    assert said.format(file=model_file) in line
    assert not engine.asked


def test_a_function_that_is_not_there_costs_no_import(model_file, engine, capsys):
    refused([f"{model_file}:mkae"], capsys)
    assert "my_model" not in sys.modules


def test_an_unknown_option_gets_the_nearest(model_file, engine, capsys):
    line = refused([f"{model_file}:make", "--timout", "3"], capsys)
    assert "there is no option --timout; did you mean --timeout?" in line


def test_a_report_goes_into_a_new_folder_and_is_said(model_file, engine, tmp_path, capsys):
    page = tmp_path / "new" / "folder" / "report.html"
    main([f"{model_file}:make", "--html", str(page)])
    assert page.exists()
    assert capsys.readouterr().out.splitlines()[-1] == f"Report: {page}"


@pytest.mark.parametrize("works", [False, True])
def test_a_script_of_the_culprit_or_why_there_is_none(tmp_path, capsys, works):
    model = tmp_path / "sorter.py"
    model.write_text(
        "import torch\nclass Middle(torch.nn.Module):\n    def forward(self, x):\n        return x.median(-1).values\n"
        "def fails():\n    return torch.nn.Sequential(torch.nn.Linear(4, 5), Middle()), (torch.rand(3, 4),)\n"
        "def works():\n    return torch.nn.Linear(4, 5), (torch.rand(3, 4),)\n"
    )
    folder = tmp_path / "new" / "repro"
    status = main([f"{model}:{'works' if works else 'fails'}", "-q", "--repro", str(folder)])
    said = capsys.readouterr().out
    assert status == (0 if works else 1)
    assert (f"Script: {folder / 'repro.py'}" in said) is not works
    assert ("There is no script: nothing fails" in said) is works
    assert {file.name for file in folder.iterdir()} == (
        set() if works else {"repro.py", "issue.md"}
    )


def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    model_file, engine, tmp_path, capsys
):
    assert "is a folder" in refused([f"{model_file}:make", "--html", str(tmp_path)], capsys)
    assert str(model_file) in refused([f"{model_file}:make", "--json", f"{model_file}/d"], capsys)
    assert not engine.asked


def test_what_nobody_knows_is_status_3(model_file, engine):
    engine.answer = samples.unresolved()
    assert main([f"{model_file}:make"]) == 3


@pytest.mark.parametrize("name", ["onnx", "types"])
def test_a_file_with_the_name_of_another_module_replaces_none(tmp_path, monkeypatch, engine, name):
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = sys.modules[name]
    file = tmp_path / f"{name}.py"
    file.write_text("def make():\n    return 'model', (1,)\n")
    assert main([f"{file}:make"]) == 0
    assert sys.modules[name] is before
    sys.modules.pop(f"_{name}")


class Scaled(torch.nn.Module):
    def forward(self, x, scale=None):
        return x


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], {"dynamic_shapes": {"x": {0: "batch", 1: "x_1"}}}),
        (
            ["--legacy"],
            {"dynamo": False, "input_names": ["x"], "dynamic_axes": {"x": {0: "batch", 1: "x_1"}}},
        ),
    ],
)
def test_dynamic_dimensions_in_the_exporter_s_own_form(flags, expected):
    parser = _parser()
    options = parser.parse_args(["m:f", "--dynamic", "x:0=batch", "--dynamic", "x:1", *flags])
    asked = to_keywords(options, {"model": Scaled(), "args": (torch.ones(2, 2),)})
    assert {name: asked.get(name) for name in expected} == expected


def test_a_dynamic_dimension_of_no_input():
    options = _parser().parse_args(["m:f", "--dynamic", "xx:0=batch"])
    with pytest.raises(CaseError, match="no input 'xx'; did you mean x"):
        to_keywords(options, {"model": Scaled(), "args": (torch.ones(2, 2),)})


def test_the_command_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, name = project["scripts"]["onnx-debug"].partition(":")
    assert getattr(importlib.import_module(module), name) is main
