"""What a failure is said to be, and what usually helps, by exporter and by what is known."""

from __future__ import annotations

import pytest

from onnx_debug.data.failure import Clue, ClueKind, Decision, Failure
from onnx_debug.data.module_info import TensorInfo
from onnx_debug.data.stage import Mode, Stage
from onnx_debug.render.messages import content, first_line
from onnx_debug.render.reasons import advice, reason
from onnx_debug.render.words import shape


def failure(stage: Stage, exception: str = "", message: str = "", **facts) -> Failure:
    return Failure(stage, Mode.ERROR, "key", exception, message, **facts)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Reshape node. "
            "Name:'/place/Reshape' Status Message: /onnxruntime_src/core/reshape_helper.h:47 "
            "onnxruntime::ReshapeHelper(const TensorShape&, bool) Input shape:{4}, requested shape:{9}",
            "Reshape: Input shape:{4}, requested shape:{9}",
        ),
        (
            "[ONNXRuntimeError] : 10 : INVALID_GRAPH : Load model from /tmp/x/model.onnx failed:"
            "This is an invalid model. Type Error",
            "This is an invalid model. Type Error",
        ),
        (
            'Constraints violated (batch)! For more information, run with TORCH_LOGS="+dynamic".\n'
            "  - Not all values of batch are valid because batch was inferred to be a constant (2).",
            "Constraints violated (batch): Not all values of batch are valid because batch was inferred to be a constant (2).",
        ),
        (
            "with check input 1: [ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input: state "
            "for the following indices\n index: 1 Got: 3 Expected: 1\n Please fix either the inputs/outputs or the model.",
            "with check input 1: Got invalid dimensions for input: state for the following indices index: 1 Got: 3 Expected: 1",
        ),
        ("", ""),
    ],
)
def test_a_long_message_is_stripped_to_its_content(message, said):
    assert content(message) == said


def test_what_is_too_long_is_cut_at_its_end():
    assert first_line("word " * 99).endswith("word…")


@pytest.mark.parametrize(
    ("dynamo", "words"), [(True, "custom_translation_table"), (False, "dynamo=True")]
)
def test_an_untranslated_operator_has_other_advice_with_each_exporter(dynamo, words):
    found = failure(Stage.TRANSLATE, "UnsupportedOperatorError", op="aten::frexp.Tensor")
    assert words in advice(found, dynamo=dynamo)


def test_the_other_exporter_is_not_advised_for_what_neither_translates():
    found = failure(Stage.TRANSLATE, "UnsupportedOperatorError", op="aten::linalg_qr")
    assert "dynamo" not in advice(found, dynamo=False)


def test_an_operator_that_a_later_opset_has_is_not_said_to_have_no_translation():
    found = failure(
        Stage.TRANSLATE, "UnsupportedOperatorError", op="aten::unflatten", known_from=13
    )
    assert reason(found) == "aten::unflatten has an ONNX translation from opset 13 on only"
    assert "opset_version=13" in advice(found, dynamo=False)


def test_a_translation_that_raises_names_its_operator():
    found = failure(Stage.TRANSLATE, "TypeError", "int() argument", op="aten::remainder.Scalar")
    assert (
        reason(found)
        == "the translation of aten::remainder.Scalar fails (TypeError: int() argument)"
    )


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("dynamo", [True, False])
def test_no_advice_points_to_a_line_that_is_not_shown(stage, dynamo):
    assert "this line" not in advice(failure(stage), dynamo=dynamo, line=False)
    assert (
        dynamo or "optimize" not in advice(failure(stage), dynamo=dynamo) or stage is Stage.OPTIMIZE
    )


@pytest.mark.parametrize(
    ("kind", "dynamo"), [(ClueKind.FRAME, True), (ClueKind.TRACER_WARNING, False)]
)
def test_each_of_the_four_decisions_has_its_words_and_its_cure(kind, dynamo):
    found = failure(Stage.CAPTURE, "GuardOnDataDependentSymNode")
    clues = [Clue("a", kind, decision=decision) for decision in Decision]
    assert len({reason(found, clue) for clue in clues}) == len(clues)
    assert len({advice(found, clue, dynamo=dynamo) for clue in clues}) == len(clues)


def test_a_formula_of_sizes_stands_as_the_example_s_number():
    info = TensorInfo("x", "float32", (2, 5, 8), ("batch", "((s93 - 1)//2) + 1", 8))
    assert shape(info) == "[batch, 5, 8]"
