"""The verdict cannot lie: a mistake of ours, or a stage that nobody tried, is neither success nor failure."""

from __future__ import annotations

import torch
from torch import nn

import onnx_debug
from onnx_debug.data.diagnosis import SearchState
from onnx_debug.data.stage import Stage, StageState, Verdict
from onnx_debug.trial import run


class Nothing(nn.Module):
    def forward(self, x):
        return x[:, x.shape[1] :]


def states(d):
    return {one.stage: one.state for one in d.stages}


def test_a_mistake_of_ours_is_nobody_s_failure_and_no_success(monkeypatch):
    monkeypatch.setattr(run, "whole_target", lambda *_: 1 / 0)
    d = onnx_debug.diagnose(nn.Linear(2, 2).eval(), torch.ones(1, 2))
    assert (d.verdict, d.ours, d.culprits, d.failure) == (Verdict.UNRESOLVED, True, (), None)
    assert "ZeroDivisionError" in d.issue_text()


def test_a_session_that_has_not_begun_or_was_closed_has_no_verdict():
    with onnx_debug.Session(nn.Linear(2, 2).eval(), torch.ones(1, 2)) as session:
        assert session.diagnosis.verdict is Verdict.NOT_BEGUN
    assert not session.diagnosis.ok


def test_between_two_steps_the_search_is_paused_and_there_is_no_verdict():
    with onnx_debug.Session(nn.Linear(2, 2).eval(), torch.ones(1, 2)) as session:
        session.step()
        assert (session.diagnosis.search, session.diagnosis.ok) == (SearchState.PAUSED, False)
        assert session.run().ok


def test_outputs_that_are_empty_are_no_success():
    d = onnx_debug.diagnose(Nothing().eval(), torch.ones(2, 3))
    assert d.verdict is Verdict.UNRESOLVED
    assert "nothing that could be compared" in str(d)


def test_every_stage_of_a_success_was_passed():
    d = onnx_debug.diagnose(nn.Linear(2, 2).eval(), torch.ones(1, 2))
    assert d.ok
    assert set(states(d).values()) == {StageState.PASSED}


def test_inputs_that_cannot_be_matched_leave_two_stages_untried(monkeypatch):
    def refuse(*_, **__):
        raise ValueError("3 for 2 inputs")

    monkeypatch.setattr("onnx_debug.trial.load_run_compare.feeds_for", refuse)
    d = onnx_debug.diagnose(nn.Linear(2, 2).eval(), torch.ones(1, 2))
    assert d.verdict is Verdict.UNRESOLVED
    assert {stage for stage, state in states(d).items() if state is StageState.SKIPPED} == {
        Stage.RUN,
        Stage.COMPARE,
    }


def test_a_check_input_that_the_model_itself_rejects_is_said():
    d = onnx_debug.diagnose(
        nn.Linear(2, 2).eval(), torch.ones(1, 2), check_inputs=[(torch.ones(1, 3),)]
    )
    assert "fails in eager with check input 1" in str(d)
