"""A search can be stopped at any moment, what was found stays, and no process, descriptor or file is left."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

import onnx_debug
from onnx_debug.data.events import TrialStarted
from onnx_debug.runner import workdir
from tests import zoo
from tests.test_isolation import LEGACY, Does, running_children, runs

GIVEN = (torch.randn(2, 5, 8),)


def spin():
    while True:
        pass


def test_an_interrupt_keeps_what_was_found_and_ends_every_process():
    def interrupt(event):
        if getattr(event, "number", 0) == 3:
            threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()

    begin = time.monotonic()
    found = onnx_debug.diagnose(
        zoo.ThreeFaults().eval(), (torch.randn(2, 6, 8),), on_event=interrupt
    )
    assert found.stopped
    assert 2 <= len(found.trials) < 9
    assert [culprit.fqn for culprit in found.culprits] == ["blocks.3.extra"]
    assert not running_children()
    assert time.monotonic() - begin < 60
    assert onnx_debug.diagnose(nn.Linear(2, 2).eval(), (torch.randn(1, 2),)).ok


@pytest.mark.parametrize("event_type", ["Started", "TrialStarted", "TrialFinished", "CulpritFound"])
def test_a_receiver_of_events_may_stop_the_search(event_type):
    def hear(event):
        if type(event).__name__ == event_type:
            session.stop()

    with onnx_debug.Session(
        zoo.Stack({1: zoo.UntranslatedOperator()}).eval(), GIVEN, on_event=hear, **LEGACY
    ) as session:
        found = session.run()
    assert found.stopped
    assert (
        len(found.trials)
        == {"Started": 0, "TrialStarted": 0, "TrialFinished": 1, "CulpritFound": 2}[event_type]
    )
    assert not running_children()


@pytest.mark.parametrize("when", [torch.jit.is_tracing, lambda: True], ids=["export", "eager"])
def test_another_thread_may_stop_the_search(when):
    took = []

    def stop():
        begin = time.monotonic()
        session.stop()
        took.append(time.monotonic() - begin)

    with onnx_debug.Session(zoo.Stack({1: Does(spin, when)}).eval(), GIVEN, **LEGACY) as session:
        timer = threading.Timer(2.0, stop)
        timer.start()
        assert session.run().stopped
        timer.join()
        assert (
            took[0] < 10
        )  # a second on a quiet machine; the trial itself would go on for a minute
        assert not running_children()


class SlowToExport(zoo.UntranslatedOperator):
    """Gives an interrupt the time to arrive in the middle of the trial."""

    def forward(self, x):
        if torch.jit.is_tracing():
            time.sleep(1)
        return super().forward(x)


def test_an_interrupted_step_can_be_taken_again():
    with onnx_debug.Session(zoo.Stack({1: SlowToExport()}).eval(), GIVEN, **LEGACY) as session:
        session.step()
        session.on_event = lambda event: (
            isinstance(event, TrialStarted)
            and threading.Timer(0.05, signal.raise_signal, [signal.SIGINT]).start()
        )
        with pytest.raises(KeyboardInterrupt):
            session.step()
        session.on_event = lambda event: None
        assert [culprit.fqn for culprit in session.run().culprits] == ["blocks.1.extra"]
    assert not running_children()


def test_a_session_that_nobody_closes_ends_with_its_last_reference():
    session = onnx_debug.Session(nn.Linear(2, 2).eval(), (torch.randn(1, 2),), **LEGACY)
    session.step()
    assert running_children()
    del session
    gc.collect()
    assert not psutil.Process().children(recursive=True)


def test_nothing_is_left_after_many_diagnoses(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    model, given = zoo.RootOwnCode().eval(), (torch.randn(8, 8),)
    onnx_debug.diagnose(model, given, **LEGACY)
    gc.collect()
    before = psutil.Process().num_fds()
    for _ in range(12):
        onnx_debug.diagnose(model, given, **LEGACY)
    gc.collect()
    assert psutil.Process().num_fds() == before
    assert not psutil.Process().children(recursive=True)
    assert not list(tmp_path.glob("onnx_debug_*"))


def test_files_live_as_long_as_the_diagnosis():
    found = onnx_debug.diagnose(nn.Linear(2, 2).eval(), (torch.randn(1, 2),))
    path = Path(found.onnx_path)
    assert path.exists()
    assert path.parents[1].stat().st_mode & 0o777 == 0o700
    del found
    gc.collect()
    assert not path.exists()


def test_a_fork_server_that_hangs_does_not_outlive_its_user():
    script = """
        import os, threading, psutil, torch, onnx_debug
        from onnx_debug.torch_private import canary
        from onnx_debug.runner.forked import client
        client._WARM_UP = 0.0
        canary.check = lambda **_: threading.Event().wait()
        session = onnx_debug.Session(torch.nn.Linear(2, 2).eval(), (torch.randn(1, 2),), timeout=1.0, dynamo=False)
        threading.Thread(target=session.step, daemon=True).start()
        while len(children := psutil.Process().children(recursive=True)) < 2:
            pass
        print(*(child.pid for child in children), flush=True)
        os.kill(os.getpid(), 9)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    children = [
        psutil.Process(int(pid)) for pid in ran.stdout.split() if psutil.pid_exists(int(pid))
    ]
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not [child for child in alive if runs(child)]


def test_what_a_killed_process_left_is_removed_later(tmp_path, monkeypatch):
    script = f"""
        import os, tempfile; tempfile.tempdir = {str(tmp_path)!r}
        from onnx_debug.runner import workdir
        workdir.make()
        os.kill(os.getpid(), 9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (left,) = tmp_path.iterdir()
    monkeypatch.setattr(workdir, "_YOUNGEST", -1.0)
    mine = [workdir.make(), workdir.make()]
    assert sorted(tmp_path.iterdir()) == sorted(mine)
    assert left not in mine
    for directory in mine:
        workdir.remove(directory)
    assert not list(tmp_path.iterdir())
