"""A search can be paused at any moment: the trial under way ends, what was found stays, and the session goes on with the next call."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch

import onnx_debug
from onnx_debug.data.errors import PausedError
from onnx_debug.data.events import TrialStarted
from onnx_debug.data.stage import Verdict
from tests import zoo
from tests.test_isolation import LEGACY, running_children
from tests.test_stopping import GIVEN

LONGEST = (
    10  # seconds; a second on a quiet machine, where the trial itself would go on for a minute
)


class HangsWhile(zoo.UntranslatedOperator):
    """Hangs as long as a file is there: a fork sees that too."""

    def __init__(self, file: Path, when=torch.jit.is_tracing) -> None:
        super().__init__()
        self.file, self.when = file, when

    def forward(self, x):
        while self.when() and self.file.exists():
            pass
        return super().forward(x)


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "hang"
    made.touch()
    return made


def pause_when(session, busy):
    """Pause as soon as there are that many processes; a list that then holds the moment."""
    paused = []

    def watch():
        while len(running_children()) < busy:
            time.sleep(0.02)
        time.sleep(0.5)
        paused.append(time.monotonic())
        session.pause()

    threading.Thread(target=watch, daemon=True).start()
    return paused


@pytest.mark.parametrize(
    ("when", "busy"), [(torch.jit.is_tracing, 3), (lambda: True, 2)], ids=["export", "eager"]
)
def test_a_pause_ends_the_trial_and_the_next_call_tries_it_again(file, when, busy):
    with onnx_debug.Session(
        zoo.Stack({1: HangsWhile(file, when)}).eval(), GIVEN, **LEGACY
    ) as session:
        paused = pause_when(session, busy)
        found = session.run()
        assert time.monotonic() - paused[0] < LONGEST
        assert (found.stopped, session.finished, found.trials) == (True, False, ())
        assert len(running_children()) == busy - 1
        file.unlink()
        found = session.run()
        assert (found.stopped, [culprit.fqn for culprit in found.culprits]) == (
            False,
            ["blocks.1.extra"],
        )
        assert len(found.trials) == 3


def test_a_question_of_ones_own_is_paused_too(file):
    with onnx_debug.Session(zoo.Stack({1: HangsWhile(file)}).eval(), GIVEN, **LEGACY) as session:
        session.probe("blocks.0")
        pause_when(session, 3)
        with pytest.raises(PausedError):
            session.probe("blocks.1")
        assert session.probe("blocks.2").answer is Verdict.PASSED
        assert len(session.diagnosis.trials) == 2


@pytest.mark.parametrize("isolate", [True, False])
@pytest.mark.parametrize("event_type", ["Started", "TrialStarted", "TrialFinished", "CulpritFound"])
def test_a_pause_between_two_questions_is_heard(event_type, isolate):
    heard = []

    def hear(event):
        if type(event).__name__ == event_type:
            heard.append(event)
            session.pause()

    model = zoo.Stack({1: zoo.UntranslatedOperator()}).eval()
    with onnx_debug.Session(model, GIVEN, isolate=isolate, on_event=hear, **LEGACY) as session:
        assert session.run().stopped
        assert len(heard) == 1
        session.on_event = lambda event: None
        found = session.run()
    assert (found.stopped, [culprit.fqn for culprit in found.culprits]) == (
        False,
        ["blocks.1.extra"],
    )
    assert found.culprits[0].inputs


def test_a_pause_when_nothing_is_under_way_is_forgotten():
    with onnx_debug.Session(
        zoo.Stack({1: zoo.UntranslatedOperator()}).eval(), GIVEN, **LEGACY
    ) as session:
        session.pause()
        assert session.step() is not None
        session.pause()
        assert [culprit.fqn for culprit in session.run().culprits] == ["blocks.1.extra"]


def test_a_fork_server_that_does_not_hear_is_made_anew():
    def hear(event):
        if isinstance(event, TrialStarted) and event.number == 2:
            (server,) = psutil.Process().children()
            server.send_signal(signal.SIGSTOP)
            session.on_event = lambda event: None
            threading.Timer(0.5, session.pause).start()

    with onnx_debug.Session(
        zoo.Stack({1: zoo.UntranslatedOperator()}).eval(), GIVEN, on_event=hear, **LEGACY
    ) as session:
        found = session.run()
        assert (found.stopped, len(found.trials)) == (True, 1)
        assert [culprit.fqn for culprit in session.run().culprits] == ["blocks.1.extra"]
    assert not running_children()


def test_many_pauses_leave_nothing_behind(file):
    with onnx_debug.Session(zoo.Stack({1: HangsWhile(file)}).eval(), GIVEN, **LEGACY) as session:
        session.probe("head")
        before = psutil.Process().num_fds()
        for _ in range(5):
            pause_when(session, 3)
            assert session.step() is None
            assert session.diagnosis.stopped
        assert psutil.Process().num_fds() == before
        assert len(running_children()) == 2
    assert not running_children()


def test_a_session_that_rests_has_no_process_and_goes_on_when_asked():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), zoo.UntranslatedOperator()).eval()
    with onnx_debug.Session(model, torch.ones(4, 4), **LEGACY) as session:
        found = session.run()
        session.rest()
        session.rest()
        assert not running_children()
        assert session.diagnosis.trials == found.trials
        assert session.probe("0").answer is Verdict.PASSED
        assert session.calls("0")[0].inputs
        assert running_children()
    assert not running_children()
