"""Every model of the zoo gets its answer: stage, culprits, own code, guilty line."""

from __future__ import annotations

import warnings

import pytest
import torch
from onnxscript import opset18

import onnx_debug
from onnx_debug.data.culprit import ProofKind
from tests import zoo


def diagnosed(case, **more):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = case.make().eval()
    return onnx_debug.diagnose(
        model,
        case.inputs(),
        check_inputs=case.check_inputs(),
        timeout=case.timeout,
        **case.options,
        **more,
    )


@pytest.mark.parametrize("case", zoo.CASES, ids=lambda case: case.name)
def test_the_diagnosis_is_right(case):
    found = diagnosed(case)
    assert (found.failure.stage if found.failure else None) is case.stage
    assert {culprit.fqn: culprit.own_code for culprit in found.culprits} == case.culprits
    assert found.failure is None or found.failure.mode is case.mode
    assert not case.line or case.line in found.culprits[0].source.text
    assert found.sufficient is not False


IN_PROCESS = [
    case
    for case in zoo.CASES
    if case.name
    in {"plain", "branch", "operator", "shared", "noise", "legacy_branch", "fixed_length"}
]


@pytest.mark.parametrize("case", IN_PROCESS, ids=lambda case: case.name)
def test_the_answer_is_the_same_without_processes(case):
    found = diagnosed(case, isolate=False)
    assert {culprit.fqn: culprit.own_code for culprit in found.culprits} == case.culprits
    assert "isolate=False" in found.notes[0]


def test_an_opset_that_nobody_has_is_the_fault_of_the_request_though_every_module_fails_with_it():
    found = onnx_debug.diagnose(
        zoo.Stack().eval(), (torch.randn(2, 5, 8),), dynamo=False, opset_version=99
    )
    assert not found.culprits
    assert "opset_version: 99" in found.request


def test_wrong_numbers_of_several_modules_are_followed_by_the_clues_of_the_whole_model():
    def relu(x, approximate: str = "none"):
        return opset18.Relu(x)

    table = {torch.ops.aten.gelu.default: relu}
    found = onnx_debug.diagnose(
        zoo.Stack(depth=2).eval(), (torch.randn(2, 5, 8),), custom_translation_table=table
    )
    assert {culprit.fqn for culprit in found.culprits} == {"blocks.0.act", "blocks.1.act"}
    assert len(found.trials) <= 7


def test_three_faults_of_three_kinds_take_at_most_twelve_trials():
    found = onnx_debug.diagnose(zoo.ThreeFaults().eval(), (torch.randn(2, 6, 8),))
    assert [culprit.fqn for culprit in found.culprits] == [
        "blocks.3.extra",
        "blocks.7.extra",
        "blocks.10.extra",
    ]
    assert len(found.trials) <= 12
    assert found.sufficient is True
    assert all(
        culprit.proof.kind is ProofKind.ALONE and culprit.proof.necessary
        for culprit in found.culprits
    )
