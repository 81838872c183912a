"""Limits are fair: threads, memory for recordings, and systems on which a fork cannot be had."""

from __future__ import annotations

import sys
import time

import pytest
import torch
from torch import nn

import onnx_debug
from onnx_debug.request.case import make_case
from onnx_debug.runner import memory
from onnx_debug.runner.forked.client import ForkedRunner
from onnx_debug.runner.open_runner import why_not_forked
from onnx_debug.runner.questions import Question
from onnx_debug.torch_private import native_threads
from tests import zoo
from tests.test_isolation import LEGACY

LARGE = (torch.randn(20, 200, 8),)  # 128 kB for every value that passes between two modules


class CountThreads(Question[int]):
    def run(self, context):
        torch.randn(600, 600) @ torch.randn(600, 600)  # hangs where the parent's threads are missed
        return torch.get_num_threads()


def test_a_fork_computes_with_the_threads_of_the_user():
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    torch.randn(600, 600) @ torch.randn(600, 600)
    runner = ForkedRunner(make_case(nn.Linear(2, 2), (torch.ones(1, 2),), options=LEGACY))
    try:
        assert runner.ask(CountThreads(), 60.0) == 3
    finally:
        runner.close()
        torch.set_num_threads(threads)


@pytest.mark.parametrize("isolate", [True, False])
def test_values_for_which_there_is_no_room_are_recorded_when_they_are_needed(isolate, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 1_000_000)
    monkeypatch.setattr(memory, "held", lambda *_, **__: 0)
    model = zoo.Stack({1: zoo.UntranslatedOperator()}).eval()
    found = onnx_debug.diagnose(model, LARGE, isolate=isolate, **LEGACY)
    assert [culprit.fqn for culprit in found.culprits] == ["blocks.1.extra"]
    assert found.sufficient is True
    assert found.culprits[0].inputs[0].shape == (20, 200, 8)


def test_a_run_without_room_keeps_no_values_but_all_calls(monkeypatch):
    monkeypatch.setattr(memory, "held", lambda *_, **__: 0)
    case = make_case(zoo.Stack().eval(), LARGE, options=LEGACY)
    runner = ForkedRunner(case, memory_limit=1_000_000)
    full = ForkedRunner(case)
    try:
        small, large = runner.eager(60.0), full.eager(60.0)
    finally:
        runner.close()
        full.close()
    assert (small.complete, large.complete) == (False, True)
    assert small.calls == large.calls


def test_where_a_fork_does_not_do_the_trials_run_here(monkeypatch):
    case = make_case(nn.Linear(2, 2), (torch.ones(1, 2),), options=LEGACY)
    assert not why_not_forked(case)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert "CUDA is in use here" in why_not_forked(case)
    monkeypatch.setattr(sys, "platform", "darwin")
    found = onnx_debug.diagnose(nn.Linear(2, 2).eval(), (torch.ones(1, 2),), **LEGACY)
    assert found.ok
    assert "only on Linux" in found.notes[0]


class Naps(nn.Module):
    def forward(self, x):
        if not torch.jit.is_tracing():
            time.sleep(1.5)
        return x + 1


def test_where_forks_have_one_thread_the_model_has_more_time(monkeypatch):
    monkeypatch.setattr(native_threads, "release", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 30)
    runner = ForkedRunner(make_case(Naps(), (torch.ones(1),), options=LEGACY))
    try:
        assert runner.eager(1.0).outcome.failure is None
    finally:
        runner.close()
