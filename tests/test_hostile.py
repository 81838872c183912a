"""Unkind trials in unkind surroundings: the answer comes, and nothing of it reaches the user's process."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import stat
import sys
import threading
import time
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

import onnx_debug
from onnx_debug.data.stage import Mode, Verdict
from tests import zoo
from tests.test_isolation import LEGACY, Does, running_children, tracing
from tests.test_stopping import SlowToExport

GIVEN = (torch.randn(2, 5, 8),)


class Endless:
    def __repr__(self):
        return repr(self)


def recurse_without_end():
    """Until the stack of the native code overflows, where Python lets it."""
    sys.setrecursionlimit(10**9)
    repr(Endless())


def close_everything():
    os.closerange(3, 1000)


def send_nonsense():
    """Into every socket, so also into the one that the answer goes through."""
    for number in range(3, 100):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.write(number, b"\x00\x00\x00\x04nope")
    time.sleep(60)


def interrupt():
    raise KeyboardInterrupt


def spend_the_time_it_may_take():
    resource.setrlimit(resource.RLIMIT_CPU, (1, 10))
    while True:
        pass


@pytest.mark.parametrize(
    ("what", "modes"),
    [
        (recurse_without_end, {Mode.CRASH, Mode.ERROR}),
        (send_nonsense, {Mode.CRASH}),
        (interrupt, {Mode.CRASH, Mode.ERROR}),
        (spend_the_time_it_may_take, {Mode.CRASH}),
        (lambda: os.killpg(0, signal.SIGABRT), {Mode.CRASH}),
    ],
    ids=["recursion", "garbage", "interrupt", "limit", "group"],
)
def test_a_trial_that_hurts_itself_is_localised(what, modes):
    found = onnx_debug.diagnose(zoo.Stack({1: Does(what)}).eval(), GIVEN, timeout=20.0, **LEGACY)
    assert found.failure.mode in modes
    assert [culprit.fqn for culprit in found.culprits] == ["blocks.1.extra"]
    assert found.sufficient is True
    assert not running_children()


def spin_in_threads():
    for _ in range(2):
        threading.Thread(target=lambda: time.sleep(60)).start()


def ignore_signals():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


@pytest.mark.parametrize(
    "what",
    [
        os.fork,
        spin_in_threads,
        ignore_signals,
        lambda: os.chdir("/"),
        lambda: os.environ.clear(),
        lambda: setattr(sys, "stdout", None),
    ],
    ids=["fork", "threads", "signals", "directory", "environment", "stdout"],
)
def test_what_a_trial_does_to_its_process_ends_with_it(what):
    before = (Path.cwd(), dict(os.environ), sys.stdout)
    assert onnx_debug.diagnose(zoo.Stack({1: Does(what)}).eval(), GIVEN, timeout=20.0, **LEGACY).ok
    assert (Path.cwd(), dict(os.environ), sys.stdout) == before
    assert not running_children()


def test_a_trial_that_closes_every_descriptor_is_an_answer():
    found = onnx_debug.diagnose(
        zoo.Stack({1: Does(close_everything)}).eval(), GIVEN, timeout=20.0, **LEGACY
    )
    assert not found.ok  # it cannot say what it found
    assert not running_children()


@pytest.mark.parametrize("how", ["reaps", "ignores"])
def test_a_user_who_buries_all_children_does_not_matter(how):
    def reap(*_):
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

    before = signal.signal(signal.SIGCHLD, reap if how == "reaps" else signal.SIG_IGN)
    try:
        found = onnx_debug.diagnose(zoo.Stack({1: Does(os.abort, tracing)}).eval(), GIVEN, **LEGACY)
        assert signal.getsignal(signal.SIGCHLD) is (reap if how == "reaps" else signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert [culprit.fqn for culprit in found.culprits] == ["blocks.1.extra"]
    assert not running_children()


def test_a_working_directory_that_is_gone_does_not_matter(tmp_path):
    place, before = tmp_path / "gone", Path.cwd()
    place.mkdir()
    os.chdir(place)
    place.rmdir()
    try:
        found = onnx_debug.diagnose(
            zoo.Stack({1: zoo.UntranslatedOperator()}).eval(), GIVEN, **LEGACY
        )
    finally:
        os.chdir(before)
    assert [culprit.fqn for culprit in found.culprits] == ["blocks.1.extra"]


def test_a_process_without_streams_does_not_matter(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    found = onnx_debug.diagnose(zoo.Stack({1: zoo.UntranslatedOperator()}).eval(), GIVEN, **LEGACY)
    assert [culprit.fqn for culprit in found.culprits] == ["blocks.1.extra"]


def test_a_diagnosis_in_another_thread_is_as_good():
    found = []
    thread = threading.Thread(
        target=lambda: found.append(
            onnx_debug.diagnose(zoo.Stack({1: Does(os.abort)}).eval(), GIVEN, **LEGACY)
        )
    )
    thread.start()
    thread.join()
    assert [culprit.fqn for culprit in found[0].culprits] == ["blocks.1.extra"]
    assert not running_children()


def test_a_session_outlives_the_thread_that_made_it():
    made = []
    thread = threading.Thread(
        target=lambda: made.append(onnx_debug.Session(zoo.Stack().eval(), GIVEN, **LEGACY))
    )
    thread.start()
    thread.join()
    with made[0] as session:
        assert session.run().ok
    assert not running_children()


def test_two_sessions_at_a_time_do_not_know_each_other():
    with onnx_debug.Session(zoo.Stack({1: Does(os.abort)}).eval(), GIVEN, **LEGACY) as other:
        with onnx_debug.Session(
            zoo.Stack({2: zoo.UntranslatedOperator()}).eval(), GIVEN, **LEGACY
        ) as session:
            while other.step() or session.step():
                pass
            assert [culprit.fqn for culprit in session.diagnosis.culprits] == ["blocks.2.extra"]
        assert other.probe("blocks.0").answer is Verdict.PASSED
        assert [culprit.fqn for culprit in other.diagnosis.culprits] == ["blocks.1.extra"]
    assert not running_children()


def test_a_diagnosis_may_be_looked_at_while_it_is_made():
    with onnx_debug.Session(zoo.Stack({1: SlowToExport()}).eval(), GIVEN, **LEGACY) as session:
        thread = threading.Thread(target=session.run)
        thread.start()
        while thread.is_alive():
            assert not session.diagnosis.stopped
            session.calls("blocks.1")
            thread.join(0.1)
        assert [culprit.fqn for culprit in session.diagnosis.culprits] == ["blocks.1.extra"]
        assert session.calls("blocks.1")[0].inputs


class Collects(torch.nn.Module):
    def forward(self, x):
        gc.collect()
        return x


def test_garbage_whose_destructor_waits_for_threads_is_left_alone():
    graph = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 20]> agraph (float[2] x) => (float[2] z) { z = Relu(x) }'
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 4
    gc.disable()
    try:
        garbage = [
            onnxruntime.InferenceSession(
                graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        ]
        garbage.append(garbage)
        del garbage
        assert onnx_debug.diagnose(Collects(), GIVEN, timeout=20.0, **LEGACY).ok
    finally:
        gc.enable()
