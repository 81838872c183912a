"""An exception, a kill and a hang at every border between our processes: the answer is never ✓, and never a culprit."""

from __future__ import annotations

import os
import signal
import time

import pytest
import torch
from torch import nn

import onnx_debug
from onnx_debug.data.failure import Clue, ClueKind
from onnx_debug.data.outcome import Trial
from onnx_debug.data.stage import Stage
from onnx_debug.request.case import make_case
from onnx_debug.runner.forked import client, recorders, server, worker
from onnx_debug.runner.forked.client import ForkedRunner
from onnx_debug.runner.questions import (
    DescribeCall,
    FindDrawingLine,
    FindDrift,
    FindWrongValues,
    RunWithSeed,
    TryEdges,
    TryExport,
    TryFurtherInputs,
)
from onnx_debug.runner.runner import UnansweredError
from onnx_debug.torch_private import canary
from onnx_debug.trial.eager_stage import EagerRun
from tests.test_isolation import LEGACY, running_children

# Each is called in one of our processes at the border to another one.
BORDERS = {
    "the server begins to work on a request": (server._Server, "_answer"),
    "the server warms up": (server._Server, "_warm_up"),
    "the server replies": (server._User, "reply"),
    "a recorder begins": (recorders, "run_eager"),
    "a recorder reports": (EagerRun, "report"),
    "a recorder hands over": (recorders, "slim"),
    "a fork begins": (server._Server, "_run"),
    "a fork writes its answer": (worker, "write"),
    "the user's process reads the answer": (client, "read"),
}
OF_RECORDERS = [name for name in BORDERS if "recorder" in name]


class Faults:
    """Makes a border fail as long as a file says how; every process sees the file."""

    def __init__(self, file):
        self.file, self.user = file, os.getpid()

    def at(self, original, *args, **kwargs):
        kind = self.file.read_text() if self.file.exists() else ""
        if kind == "exception" or (kind and os.getpid() == self.user):
            raise RuntimeError("injected")
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hang":
            time.sleep(1000)
        return original(*args, **kwargs)

    def inject(self, kind):
        self.file.write_text(kind)

    def stop(self):
        self.file.unlink(missing_ok=True)


@pytest.fixture
def faults(tmp_path, monkeypatch, border):
    made = Faults(tmp_path / "fault")
    place, name = BORDERS[border]
    original = getattr(place, name)
    monkeypatch.setattr(place, name, lambda *a, **k: made.at(original, *a, **k))
    monkeypatch.setattr(canary, "check", lambda **_: None)  # the forks are warm already
    return made


@pytest.fixture
def runner(faults):
    made = ForkedRunner(make_case(model(), (torch.ones(1, 2),), options=LEGACY))
    assert made.eager(60.0).outcome.failure is None
    yield made
    made.close()
    assert not running_children()


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval()


def questions(outcome):
    random = Clue("0", ClueKind.RANDOM)
    return [
        TryExport(Trial("")),
        TryExport(Trial("0")),
        TryExport(Trial("", frozenset({"0"}))),
        TryFurtherInputs(outcome, 10.0),
        TryEdges(outcome, 10.0),
        RunWithSeed(1),
        FindDrawingLine(random),
        FindDrift(outcome, 0),
        FindWrongValues(outcome.onnx_path, 0),
        DescribeCall("0", 0),
    ]


@pytest.mark.parametrize("kind", ["exception", "kill"])
@pytest.mark.parametrize("border", BORDERS)
def test_no_question_is_answered_over_a_fault(runner, faults, border, kind):
    outcome = runner.run(Trial(""), 60.0)
    assert outcome.ok
    faults.inject(kind)
    for question in questions(outcome):
        if border in OF_RECORDERS and not question.needs and question.needs is not None:
            continue
        runner.rest()
        if (border, kind) == ("the server warms up", "exception"):
            continue  # what was not warmed up is only slower
        with pytest.raises(UnansweredError) as raised:
            runner.ask(question, 60.0)
        assert raised.value.failure is None
        assert raised.value.outcome.ours
    faults.stop()
    assert runner.run(Trial(""), 60.0).ok


@pytest.mark.parametrize("border", [name for name in BORDERS if "user" not in name])
def test_a_hang_between_stages_is_ours(runner, faults, border, monkeypatch):
    if "the server" in border:
        monkeypatch.setattr(client, "_WARM_UP", -7.0)
    faults.inject("hang")
    runner.rest()
    outcome = runner.run(Trial(""), 3.0)
    assert (outcome.failure, outcome.ok, outcome.ours) == (None, False, True)
    faults.stop()
    monkeypatch.setattr(client, "_WARM_UP", 60.0)
    assert runner.run(Trial(""), 60.0).ok


class Untranslated(nn.Module):
    def forward(self, x):
        return torch.linalg.qr(x)[0]


@pytest.mark.parametrize("kind", ["exception", "kill"])
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("made", [model, Untranslated])
def test_no_diagnosis_blames_or_acquits_over_a_fault(faults, border, kind, made):
    if (border, kind) == ("the server warms up", "exception"):
        pytest.skip("what was not warmed up is only slower")
    faults.inject(kind)
    found = onnx_debug.diagnose(made(), (torch.ones(2, 2),), **LEGACY)
    assert (found.ok, found.failure, found.culprits, found.ours) == (False, None, (), True)
    assert found.unresolved
    assert not running_children()


@pytest.mark.parametrize("border", ["a fork begins"])
def test_a_fault_after_the_export_keeps_no_success(runner, faults):
    outcome = runner.run(Trial(""), 60.0)
    faults.inject("kill")
    found = runner.look_beyond(outcome, 60.0)
    assert (found.ok, found.ours, found.failure) == (False, True, None)
    assert Stage.COMPARE in found.passed


def test_a_fault_in_one_process_is_asked_about_once_more(tmp_path, monkeypatch):
    file, original = tmp_path / "once", server._Server._run
    file.touch()

    def run(*args):
        if file.exists():
            file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args)

    monkeypatch.setattr(server._Server, "_run", run)
    assert onnx_debug.diagnose(model(), (torch.ones(1, 2),), **LEGACY).ok
