"""The text form: at most 12 lines, path first, next step last."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onnx_debug.data.culprit import Proof, ProofKind
from onnx_debug.data.diagnosis import SearchState
from onnx_debug.data.failure import Source
from onnx_debug.data.module_info import TensorInfo
from onnx_debug.data.stage import Mode
from onnx_debug.render.text import MOST_LINES, render
from onnx_debug.render.voice import COMMAND_LINE
from onnx_debug.render.words import modules_outside, place
from tests import samples


@pytest.mark.parametrize("name", samples.ALL)
def test_never_longer_than_twelve_lines(name):
    lines = render(samples.ALL[name]).splitlines()
    assert len(lines) <= MOST_LINES
    assert all(line.strip() for line in lines)


@pytest.mark.parametrize(
    "name", [name for name in samples.ALL if name not in ("exported", "running")]
)
def test_ends_with_the_next_step(name):
    assert "  Next: " in render(samples.ALL[name])


def test_single_culprit_golden():
    assert render(samples.diagnosis(samples.culprit(), fixes=(samples.FIX,))) == (
        "✗ blocks.7.extra (BadQr) stops the export at translate: aten::linalg_qr has no ONNX translation [OD210]. "
        "It exports with 1 change.\n"
        "  /home/me/model.py:17  return x + torch.linalg.qr(x[0])[0].sum()\n"
        "  inputs                x float32[batch, 8, 16]\n"
        "  Proven: it fails alone, by its own code; with it replaced the other 102 modules export, load, run and match (9 trials, 3.4 s).\n"
        "  Next: Use a Householder form of QR (checked: exports and runs, max diff 2e-6; d.fixes[0])."
    )


def test_the_command_line_is_told_of_options():
    said = render(samples.died(Mode.TIMEOUT), voice=COMMAND_LINE).splitlines()[-1]
    assert "--timeout 300" in said
    assert "timeout=300" in render(samples.died(Mode.TIMEOUT))


def test_several_culprits_are_numbered():
    first, *rest = render(samples.three()).splitlines()
    assert first.startswith("✗ Export stops at translate: 3 of 103 modules block it.")
    assert rest[0].split() == [
        "1",
        "blocks.7.extra",
        "BadQr",
        "aten::linalg_qr",
        "has",
        "no",
        "ONNX",
        "translation",
        "[OD210]",
    ]
    assert any(
        line.startswith("  2  blocks.3.extra ") and line.endswith("model.py:11") for line in rest
    )


def test_many_culprits_are_counted_by_class():
    text = render(samples.eighteen())
    assert "+ 13 more like encoder.layers.4.conv (EncodecConv1d)" in text
    assert "+ decoder.lstm (EncodecLSTM)" in text


def test_a_wrong_request_blames_no_layer_and_spells_out_the_call():
    lines = render(samples.bad_request()).splitlines()
    assert lines[0].startswith(
        "✗ The request is at fault, no layer of Net (options): dynamic_axes names 'input'"
    )
    assert "    torch.onnx.export(" in lines
    assert lines[-1] == "    )"


def test_root_goes_by_its_class():
    assert render(samples.root()).startswith(
        "✗ Net (the whole model) stops the export at capture: "
    )


def test_unproven_says_why():
    text = render(samples.not_proven())
    assert "Not proven: blocks.7.extra: its output is a live object" in text
    assert "  Proven:" not in text


@pytest.mark.parametrize(
    ("name", "words"),
    [("crash", "the process dies"), ("timeout", "time limit"), ("memory", "more memory")],
)
def test_failures_without_an_exception_have_words(name, words):
    assert words in render(samples.ALL[name]).splitlines()[0]


def test_a_model_that_does_not_run_is_not_blamed_on_the_export():
    assert render(samples.broken_model()).startswith(
        "✗ Net itself fails, before any export: RuntimeError: mat1 and mat2"
    )


def test_a_search_that_was_stopped_says_so():
    assert render(samples.stopped()).startswith("■ Stopped after 2 trials")
    assert render(samples.ALL["stopped_later"]).startswith(
        "✗ Stopped after 9 trials; found so far: blocks.7.extra (BadQr)"
    )


def test_a_search_stopped_before_any_proof_names_the_clue():
    d = samples.diagnosis(
        failure=samples.branch_failure(), search=SearchState.STOPPED, sufficient=None
    )
    assert "Not proven: the failure itself names blocks.3.extra" in render(d)


def test_line_of_a_helper_stands_below_the_module_s_own():
    text = render(
        samples.diagnosis(
            samples.culprit(
                failure=samples.branch_failure(), source=samples.IF, fqn="blocks.3.extra"
            )
        )
    )
    assert text.index("model.py:11") < text.index("helpers.py:4")


def test_long_values_are_cut_but_code_is_not():
    wide = samples.culprit(
        inputs=tuple(TensorInfo(f"input_number_{i}", "float32", (1, 2)) for i in range(30))
    )
    fix = replace(samples.RENAME, code="torch.onnx.export(" + "x, " * 100 + ")")
    text = render(samples.diagnosis(wide))
    assert all(len(line) < 200 for line in text.splitlines())
    assert fix.code in render(replace(samples.bad_request(), fixes=(fix,)))


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("/x/lib/python3.11/site-packages/transformers/t5.py", "transformers/t5.py:3"),
        ("/tmp/ipykernel_12/99.py", "notebook cell:3"),
        ("<ipython-input-4-abc>", "notebook cell:3"),
        ("/elsewhere/model.py", "/elsewhere/model.py:3"),
    ],
)
def test_places_are_short_and_unambiguous(file, shown):
    assert place(Source(file, 3)) == shown


def test_cells_have_their_number():
    assert (
        place(Source("/tmp/ipykernel_12/99.py", 3), {"/tmp/ipykernel_12/99.py": "Cell In[5]"}.get)
        == "Cell In[5]:3"
    )


def test_modules_below_a_culprit_are_not_counted_as_the_rest():
    d = samples.diagnosis(samples.culprit("blocks.3"))
    assert modules_outside(d) == len(d.modules) - 1


def test_a_wrong_answer_says_with_which_inputs_and_sizes():
    lines = render(samples.answers_wrongly()).splitlines()
    assert (
        lines[0]
        == "✗ blocks.3.extra (Rows) exports, but returns other values than PyTorch: the constant c = 3 is the size 0 of its input [OD515]."
    )
    assert any(
        line.startswith("  seen")
        and line.endswith("output y with rows 2 for 3: max difference 0.1")
        for line in lines
    )
    assert any(
        "dynamic_axes['x'][0] dynamic (rows): works with 6, fails with 1, 2" in line
        for line in lines
    )


def test_what_was_asked_and_works_is_listed():
    assert (
        "  dynamic_shapes['x'][0] dynamic (rows): works with 1, 4."
        in render(samples.exported()).splitlines()
    )


def test_a_module_that_only_holds_the_fault_is_not_said_to_fail_by_its_own_code():
    proof = Proof(ProofKind.ANCESTOR, own_code_trial=True)
    held = samples.culprit(own_code=False, proof=proof)
    text = render(samples.diagnosis(held))
    assert "Proven: it is the smallest module that fails alone" in text
    assert "own code" not in text


def test_changes_that_only_help_a_part_are_no_fix():
    text = render(samples.ALL["part_way"])
    (line,) = [line for line in text.splitlines() if "no fix" in line]
    assert "torch.where" in line
    assert "stops at translate" in line
    assert "It exports with" not in text
