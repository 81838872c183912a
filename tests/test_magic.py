"""The magics find the case in the cell, pass it on as it is, and say in one line what is wrong with a cell."""

from __future__ import annotations

import inspect
import linecache
import sys

import pytest

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.errors import CaseError
from tests import samples

DEFAULTS = {"timeout": 60.0, "edges": "report", "isolate": True, "fixes": True, "fix": False}


def run(shell, cell):
    result = shell.run_cell(cell)
    result.raise_error()
    return result.result


def usage_error(shell, cell, capsys):
    """The one line that the user sees."""
    assert not shell.run_cell(cell).success
    out, err = capsys.readouterr()
    assert not out.strip()
    (line,) = [line for line in err.splitlines() if not line.startswith("onnx_debug: ")]
    assert line.startswith("UsageError: ")
    return line.removeprefix("UsageError: ")


def test_an_export_call_is_caught_with_its_arguments(shell, engine):
    run(
        shell,
        "%%onnx_export\nimport torch\ntorch.onnx.export('model', (1,), 'x.onnx', kwargs={'y': 2}, opset_version=18)",
    )
    (asked,) = engine.asked
    assert (asked.model, asked.args, asked.kwargs) == ("model", (1,), {"y": 2})
    assert asked.rest == {**DEFAULTS, "f": "x.onnx", "opset_version": 18}


LIBRARY = """
import functools, torch
from torch.onnx import export as onnx_export
def to_onnx(model, args): return onnx_export(model, args)
def by_default(model, args, export=torch.onnx.export): return export(model, args)
by_part = functools.partial(torch.onnx.export, opset_version=18)
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    (tmp_path / "exporting_library.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    yield "exporting_library"
    sys.modules.pop("exporting_library", None)


WAYS = {
    "the cell's own name": "from torch.onnx import export\nexport('model', 1)",
    "its attribute": "import torch\ntorch.onnx.export('model', 1)",
    "a library's name": "import {library} as l\nl.to_onnx('model', 1)",
    "a library's default": "import {library} as l\nl.by_default('model', 1)",
    "a library's partial": "import {library} as l\nl.by_part('model', 1)",
    "the legacy spelling": "import torch.onnx.utils\ntorch.onnx.utils.export('model', 1, 'f')",
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_the_exporter_is_caught_and_nothing_stays(shell, engine, library, way, first):
    import torch

    before = (torch.onnx.export, vars(torch.onnx.export).copy(), torch.onnx.export.__code__)
    if first:
        run(shell, f"import {library}\nfrom torch.onnx import export")
    run(shell, "%%onnx_export\n" + WAYS[way].format(library=library))
    assert [(one.model, one.args) for one in engine.asked] == [("model", 1)]
    assert before == (torch.onnx.export, vars(torch.onnx.export), torch.onnx.export.__code__)


def test_the_legacy_spelling_means_the_legacy_exporter(shell, engine):
    run(shell, "%%onnx_export\n" + WAYS["the legacy spelling"])
    assert engine.asked[0].rest == {**DEFAULTS, "f": "f", "dynamo": False}


@pytest.mark.filterwarnings("ignore:You are using the legacy")
@pytest.mark.parametrize("dynamo", [False, True])
def test_an_exporter_that_somebody_has_wrapped_is_caught_beneath(
    shell, engine, monkeypatch, dynamo
):
    import torch

    original = torch.onnx.export
    monkeypatch.setattr(torch.onnx, "export", lambda *args, **rest: original(*args, **rest))
    call = f"torch.onnx.export('model', (1,), 'f', dynamo={dynamo}, input_names=['a'])"
    run(shell, f"%%onnx_export\nimport torch\n{call}")
    (asked,) = engine.asked
    wanted = {"f": "f", "dynamo": dynamo, "input_names": ["a"]}
    assert {name: asked.rest.get(name) for name in wanted} == wanted


@pytest.mark.parametrize(
    "cell",
    ["import torch\ntorch.onnx.dynamo_export('model', 1)", "from torch.onnx import dynamo_export"],
)
def test_the_removed_spelling_is_explained(shell, engine, capsys, cell):
    said = usage_error(shell, f"%%onnx_export\n{cell}", capsys)
    assert "no torch.onnx.dynamo_export any more; call torch.onnx.export(" in said


def test_after_twenty_cells_of_every_kind_the_exporter_is_the_original(
    shell, engine, library, capsys
):
    import torch

    original, code = torch.onnx.export, torch.onnx.export.__code__
    signature = inspect.signature(original)
    bad = ["torch.onnx.export(1, 2, 3, 4)", "1 / 0", "nope", "raise KeyboardInterrupt", "3"]
    for answer in (samples.exported(), samples.three()):
        engine.answer = answer
        for body in [*(way.format(library=library) for way in WAYS.values()), *bad]:
            shell.run_cell(f"%%onnx_export\nimport torch\n{body}")
    capsys.readouterr()
    assert torch.onnx.export is original
    assert (original.__code__, inspect.signature(original)) == (code, signature)
    engine.asked.clear()
    with pytest.raises(TypeError, match="missing"):
        original()
    assert not engine.asked


def test_inside_the_cell_the_exporter_keeps_its_signature(shell, engine):
    run(
        shell,
        "%%onnx_export\nimport inspect, torch\ns = inspect.signature(torch.onnx.export)\n'm', 1",
    )
    assert "dynamo" in shell.user_ns["s"].parameters


def test_of_two_calls_the_failing_one_is_shown_and_both_are_told(shell, engine, capsys):
    cell = """%%onnx_export
import torch
try:
    torch.onnx.export('first', 1)
except:
    pass
torch.onnx.export('second', 1)"""
    answers = iter([samples.three(), samples.exported()])
    engine.answers = lambda: next(answers)
    assert not run(shell, cell).ok
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "2 calls of torch.onnx.export: 1 fails."
    assert [line[:6] for line in told[1:3]] == ["  1  ✗", "  2  ✓"]


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("\ny = 3\n\nz = 4\n", "lines 4 to 6 of the cell were not run"),
        ("\n# a comment", None),
        ("\nprint(3)", "line 4 of the cell was not run"),
    ],
)
def test_lines_that_were_not_run_are_said(shell, engine, capsys, after, said):
    engine.answer = samples.three()
    run(shell, f"%%onnx_export\nimport torch\ntorch.onnx.export('model', 1){after}")
    told = capsys.readouterr().out
    assert (f"The export failed, so {said}." in told) if said else "not run" not in told


def test_what_a_finally_does_is_not_said_to_be_left_out(shell, engine, capsys):
    engine.answer = samples.three()
    cell = """%%onnx_export
import torch
try:
    torch.onnx.export(
        'model', 1)
    x = 3
finally:
    y = 4"""
    run(shell, cell)
    assert "line 6 of the cell was not run" in capsys.readouterr().out
    assert shell.user_ns["y"] == 4


def test_on_success_the_call_returns_the_program_and_the_cell_goes_on(shell, engine):
    d = run(shell, "%%onnx_export\nimport torch\np = torch.onnx.export('model', (1,))\nseen = p")
    assert d is engine.answer
    assert shell.user_ns["seen"] == "the program"


def test_on_failure_the_cell_ends_at_the_call(shell, engine, capsys):
    engine.answer = samples.three()
    d = run(
        shell,
        "%%onnx_export\nimport torch\ntry:\n    torch.onnx.export('model', (1,))\nexcept Exception: pass\nprint('went on')",
    )
    assert d is engine.answer
    assert "went on" not in capsys.readouterr().out


def test_the_true_exporter_is_there_while_the_engine_works(shell, engine, monkeypatch):
    import torch

    from onnx_debug.session import diagnose

    original, seen = torch.onnx.export, []
    monkeypatch.setattr(
        diagnose, "diagnose", lambda *_, **__: seen.append(torch.onnx.export) or engine.answer
    )
    run(shell, "%%onnx_export\nimport torch\ntorch.onnx.export('model', (1,))")
    assert seen == [original]


def test_last_expression_is_the_case(shell, engine):
    run(
        shell,
        "%%onnx_export --opset 18 --legacy -o a.onnx --timeout 5 --no-isolation --no-fixes\nx = 3\n'model', (x,), {'y': 1}",
    )
    (asked,) = engine.asked
    assert (asked.model, asked.args, asked.kwargs) == ("model", (3,), {"y": 1})
    assert asked.rest == {
        "timeout": 5.0,
        "edges": "report",
        "isolate": False,
        "fixes": False,
        "fix": False,
        "f": "a.onnx",
        "opset_version": 18,
        "dynamo": False,
    }


def test_the_line_goes_before_the_call(shell, engine):
    run(
        shell,
        "%%onnx_export --opset 20\nimport torch\ntorch.onnx.export('model', (1,), opset_version=18)",
    )
    assert engine.asked[0].rest["opset_version"] == 20


def test_shell_syntax_and_braces_work_in_the_cell(shell, engine):
    run(shell, "%%onnx_export\nfolder = !echo {1+1}\n'model', (folder[0],)")
    assert engine.asked[0].args == ("2",)


def test_line_numbers_are_those_of_the_cell_as_the_user_sees_it(shell, engine):
    run(shell, "%%onnx_export\nx = 3\ndef forward():\n    return x\nforward, (x,)")
    code = shell.user_ns["forward"].__code__
    assert code.co_firstlineno == 3
    assert linecache.getline(code.co_filename, 4) == "    return x\n"


@pytest.mark.parametrize("body", ["x = 3", "3", "(1, 2, 3, 4)", "def f():\n    pass"])
def test_a_cell_without_a_case(shell, engine, capsys, body):
    assert usage_error(shell, f"%%onnx_export\n{body}", capsys).startswith("nothing to export")
    assert not engine.asked


def test_a_name_that_does_not_exist(shell, engine, capsys):
    assert (
        usage_error(shell, "%%onnx_export\nx = 3\nmodle, x", capsys)
        == "line 3 of the cell: name 'modle' is not defined"
    )


def test_an_unknown_option(shell, engine, capsys):
    assert (
        usage_error(shell, "%%onnx_export --opsett 3\n1, 2", capsys)
        == "there is no option --opsett; did you mean --opset? %%onnx_export? lists the options."
    )


@pytest.mark.parametrize(
    "cell", ["'model', (1,)", "import torch\ntorch.onnx.export('model', (1,))"]
)
def test_a_case_that_is_none_is_one_line(shell, engine, capsys, monkeypatch, cell):
    def refuse(*_, **__):
        raise CaseError("the model is a str, not a torch.nn.Module")

    monkeypatch.setattr("onnx_debug.session.diagnose.diagnose", refuse)
    assert (
        usage_error(shell, f"%%onnx_export\n{cell}", capsys)
        == "the model is a str, not a torch.nn.Module"
    )


def test_an_argument_that_the_exporter_does_not_know(shell, capsys):
    cell = "%%onnx_export\nimport torch\ntorch.onnx.export(torch.nn.ReLU(), (1,), opset_versoin=3)"
    said = usage_error(shell, cell, capsys)
    assert said == "torch.onnx.export has no option 'opset_versoin'; did you mean opset_version?"


@pytest.mark.parametrize("caught", ["except Exception", "except"])
def test_a_wrong_call_is_answered_for_what_it_is_although_the_cell_catches_it(
    shell, engine, capsys, caught
):
    cell = f"%%onnx_export\nimport torch\ntry:\n    torch.onnx.export(1, 2, 3, 4)\n{caught}: pass"
    assert usage_error(shell, cell, capsys) == "torch.onnx.export: too many positional arguments"


def test_an_error_of_the_cell_is_shown_as_usual(shell, engine, capsys):
    result = shell.run_cell("%%onnx_export\ndef half(x):\n    return x / 0\nhalf(1), 2")
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert "return x / 0" in capsys.readouterr().out


def test_a_name_error_in_the_user_s_function_keeps_its_traceback(shell, engine, capsys):
    assert isinstance(
        shell.run_cell("%%onnx_export\ndef f():\n    return nope\nf(), 2").error_in_exec, NameError
    )


def test_log_is_printed_when_asked_for(shell, engine, capsys):
    engine.answer = samples.three()
    run(shell, "%%onnx_export\n'model', (1,)")
    assert "[torch.onnx]" not in capsys.readouterr().out
    run(shell, "%%onnx_export --log\n'model', (1,)")
    assert "[torch.onnx]" in capsys.readouterr().out


def test_a_diagnosis_shows_itself_as_text_and_html(shell):
    data, _ = shell.display_formatter.format(samples.three())
    assert data["text/plain"].startswith("✗ Export stops at translate")
    assert data["text/html"].startswith("<section")
    assert not any(name.startswith("_repr_") for name in vars(Diagnosis))


def test_cells_go_by_their_number(shell, engine):
    number = shell.run_cell(
        "%%onnx_export\ndef forward(): pass\nforward, ()", store_history=True
    ).execution_count
    file = shell.user_ns["forward"].__code__.co_filename
    guilty = samples.culprit(source=samples.Source(file, 2, "def forward(): pass"))
    data, _ = shell.display_formatter.format(samples.diagnosis(guilty))
    assert f"Cell In[{number}]:2" in data["text/plain"]


def test_help_names_every_option_and_has_an_example():
    from onnx_debug.frontends.magic import OnnxDebugMagics
    from onnx_debug.frontends.options import NOTEBOOK_OPTIONS, OPTIONS

    text = OnnxDebugMagics.onnx_export.__doc__
    assert all(flag in text for flags, _ in OPTIONS + NOTEBOOK_OPTIONS for flag in flags)
    assert "  %%onnx_export [" in text
    assert "torch.onnx.export(model, (x,)" in text


def test_postmortem_finds_the_call_that_failed(shell, engine):
    shell.run_cell("import torch\ntorch.onnx.export('no module', (1,), opset_version=19)")
    run(shell, "%onnx_postmortem --timeout 7")
    (asked,) = engine.asked
    assert (asked.model, asked.args, asked.kwargs) == ("no module", (1,), None)
    assert asked.rest == {**DEFAULTS, "timeout": 7.0, "opset_version": 19}


def test_postmortem_knows_the_legacy_spelling(shell, engine):
    shell.run_cell("import torch\ntorch.onnx.utils.export('no module', (1,), 'x.onnx')")
    run(shell, "%onnx_postmortem")
    assert engine.asked[0].rest == {**DEFAULTS, "f": "x.onnx", "dynamo": False}


def test_postmortem_looks_behind_an_error_raised_from_it(shell, engine):
    shell.run_cell(
        "import torch\ntry:\n    torch.onnx.export('no module', 1)\nexcept Exception as e:\n    raise ValueError from e"
    )
    run(shell, "%onnx_postmortem")
    assert engine.asked[0].model == "no module"


def test_postmortem_without_a_failed_call(shell, engine, capsys):
    shell.run_cell("1 / 0")
    capsys.readouterr()
    assert usage_error(shell, "%onnx_postmortem", capsys).startswith(
        "the last error did not pass through torch.onnx.export"
    )
