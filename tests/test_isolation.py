"""Whatever a trial does is an answer: its death too, and the death of those who watch it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial

import psutil
import pytest
import torch
from torch import nn

import onnx_debug
from onnx_debug.data.events import TrialFinished
from onnx_debug.data.stage import Mode, Stage, Verdict
from tests import zoo

LEGACY = {"dynamo": False, "opset_version": 17}


class ExitsInCapture(nn.Module):
    def forward(self, x):
        if torch.compiler.is_exporting():
            os._exit(0)
        return x


class EatsMemory(nn.Module):
    def forward(self, x):
        self.eat(torch.compiler.is_exporting)
        return x

    @staticmethod
    def eat(hungry):
        kept = []
        while hungry():
            kept.append(bytearray(b"x" * 20_000_000))


class ChildEatsMemory(nn.Module):
    """The memory is taken by a child of the trial; what the two share does not count twice."""

    def forward(self, x):
        if torch.compiler.is_exporting():
            shared = bytearray(b"x" * 200_000_000)
            if not os.fork():
                EatsMemory.eat(lambda: bool(shared))
            os.wait()
        return x


class ForksOften(nn.Module):
    """Children that share their memory with the trial, which is more than the limit when it is counted for each."""

    def forward(self, x):
        if torch.compiler.is_exporting():
            shared = bytearray(b"x" * 200_000_000)
            for _ in range(4):
                if not os.fork():
                    time.sleep(1.0)
                    os._exit(len(shared) % 2)
            while True:
                try:
                    os.wait()
                except ChildProcessError:
                    break
        return x


class ForksAndSleeps(nn.Module):
    def forward(self, x):
        if torch.compiler.is_exporting():
            subprocess.Popen(["sleep", "77.7"])
            time.sleep(100)
        return x


class PrintsMuch(nn.Module):
    def forward(self, x):
        if torch.compiler.is_exporting() or tracing():
            os.write(1, b"from the trial\n" * 7_000_000)
            print("from the trial", file=sys.stderr)
        return torch.linalg.qr(x)[0]


def runs(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def running_children():
    return [child for child in psutil.Process().children(recursive=True) if runs(child)]


@pytest.mark.parametrize("isolate", [True, False])
def test_inputs_are_untouched(isolate):
    given = torch.ones(4, 8)
    model = nn.Sequential(nn.ReLU(inplace=True), zoo.UntranslatedOperator())
    onnx_debug.diagnose(model.eval(), (given - 2,), isolate=isolate)
    kept = given - 2
    onnx_debug.diagnose(model.eval(), (kept,), isolate=isolate)
    assert torch.equal(kept, given - 2)


@pytest.mark.parametrize(
    ("module", "mode", "limits"),
    [
        (ExitsInCapture, Mode.CRASH, {}),
        (EatsMemory, Mode.MEMORY, {"memory_limit": 500_000_000}),
        (ChildEatsMemory, Mode.MEMORY, {"memory_limit": 500_000_000}),
        (ForksAndSleeps, Mode.TIMEOUT, {"timeout": 6.0}),
    ],
)
def test_a_trial_that_dies_is_an_answer_and_names_the_module(module, mode, limits):
    found = onnx_debug.diagnose(zoo.Stack({1: module()}).eval(), (torch.randn(2, 5, 8),), **limits)
    assert found.failure.mode is mode
    assert [culprit.fqn for culprit in found.culprits] == ["blocks.1.extra"]
    assert found.sufficient is True
    assert not running_children()
    assert not [
        process
        for process in psutil.process_iter(["cmdline"])
        if "77.7" in (process.info["cmdline"] or [])
    ]


def test_what_a_trial_shares_with_its_children_counts_once():
    assert onnx_debug.diagnose(
        zoo.Stack({1: ForksOften()}).eval(), (torch.randn(2, 5, 8),), memory_limit=600_000_000
    ).ok


@pytest.mark.parametrize(("isolate", "options"), [(True, {}), (False, {}), (False, LEGACY)])
def test_what_a_trial_prints_stays_in_its_log(capfd, isolate, options):
    found = onnx_debug.diagnose(
        PrintsMuch().eval(), (torch.randn(3, 3),), isolate=isolate, **options
    )
    output = capfd.readouterr()
    assert output.out + output.err == ""
    assert "from the trial" in found.log
    assert len(found.log) < 500_000


def tracing():
    return torch.jit.is_tracing()


def kill_the_fork_server():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(30)


def backtrack_without_end():
    re.match(r"(a+)+$", "a" * 40 + "b")


class Does(nn.Module):
    """Does something unkind while it is exported, or in eager."""

    def __init__(self, what, when=tracing) -> None:
        super().__init__()
        self.what, self.when = what, when

    def forward(self, x):
        if self.when():
            self.what()
        return x + 1


@pytest.mark.parametrize(
    ("what", "mode"),
    [
        (os.abort, Mode.CRASH),
        (lambda: os.kill(os.getpid(), signal.SIGFPE), Mode.CRASH),
        (
            lambda: os.kill(os.getpid(), signal.SIGKILL),
            Mode.MEMORY,
        ),  # what the system does when memory runs out
        (lambda: sys.exit(3), Mode.ERROR),
        (lambda: os.kill(os.getpid(), signal.SIGSTOP), Mode.TIMEOUT),
        (backtrack_without_end, Mode.TIMEOUT),  # in native code, which holds the interpreter's lock
    ],
    ids=["abort", "fpe", "kill", "exit", "stop", "native"],
)
def test_every_death_is_localised(what, mode):
    found = onnx_debug.diagnose(
        zoo.Stack({1: Does(what)}).eval(), (torch.randn(2, 5, 8),), timeout=4.0, **LEGACY
    )
    assert (found.failure.stage, found.failure.mode) == (Stage.CAPTURE, mode)
    assert [culprit.fqn for culprit in found.culprits] == ["blocks.1.extra"]
    assert found.sufficient is True
    assert len(found.trials) <= 3
    assert not running_children()


def test_a_model_that_kills_the_fork_server_is_not_known_to_fail():
    model = zoo.Stack({1: Does(kill_the_fork_server)}).eval()
    found = onnx_debug.diagnose(model, (torch.randn(2, 5, 8),), **LEGACY)
    assert (found.failure, found.culprits, found.ok, found.ours) == (None, (), False, True)
    assert "lost twice" in found.unresolved
    assert not running_children()


@pytest.mark.parametrize(
    ("what", "mode", "limits"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), Mode.CRASH, {}),
        (lambda: time.sleep(99), Mode.TIMEOUT, {"timeout": 2.0}),
        (lambda: EatsMemory.eat(lambda: True), Mode.MEMORY, {"memory_limit": 400_000_000}),
        (lambda: sys.exit(3), Mode.ERROR, {}),
    ],
    ids=["crash", "hang", "memory", "exit"],
)
def test_a_model_that_dies_in_eager_is_told_apart_from_its_export(what, mode, limits):
    model = nn.Sequential(nn.Linear(2, 2), Does(what, when=lambda: True))
    found = onnx_debug.diagnose(model, (torch.randn(1, 2),), **limits, **LEGACY)
    assert (found.failure.stage, found.failure.mode) == (Stage.EAGER, mode)
    assert found.culprits[0].fqn == "1"
    assert found.trials == ()


def daemon(pids):
    if not os.fork():
        os.setsid()
        if not os.fork():
            (pids / str(os.getpid())).touch()
            time.sleep(88.8)
        os._exit(0)
    while not any(pids.iterdir()):  # a trial that is over sooner would leave nothing behind
        time.sleep(0.01)


def test_what_a_trial_leaves_behind_ends_with_it(tmp_path):
    model = zoo.Stack({1: Does(partial(daemon, tmp_path))}).eval()
    assert onnx_debug.diagnose(model, (torch.randn(2, 5, 8),), **LEGACY).ok
    left = [int(path.name) for path in tmp_path.iterdir()]
    assert left
    assert not [pid for pid in left if psutil.pid_exists(pid) and runs(psutil.Process(pid))]


@pytest.mark.parametrize("who", ["recorder", "fork server", "hanging fork server"])
def test_a_lost_helper_is_made_anew(who, monkeypatch):
    monkeypatch.setattr("onnx_debug.runner.forked.client._OWN_WORK", -176.0)

    def hurt(event):
        if isinstance(event, TrialFinished) and event.number == 1:
            (server,) = psutil.Process().children()
            if who == "recorder":
                server.children()[0].kill()
            else:
                server.send_signal(signal.SIGKILL if who == "fork server" else signal.SIGSTOP)

    found = onnx_debug.diagnose(
        zoo.Stack({1: zoo.UntranslatedOperator()}).eval(),
        (torch.randn(2, 5, 8),),
        on_event=hurt,
        **LEGACY,
    )
    assert [culprit.fqn for culprit in found.culprits] == ["blocks.1.extra"]
    assert found.sufficient is True
    assert not running_children()


def test_a_system_that_refuses_processes_is_a_note(monkeypatch):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    found = onnx_debug.diagnose(
        zoo.Stack({1: zoo.UntranslatedOperator()}).eval(), (torch.randn(2, 5, 8),), **LEGACY
    )
    assert [culprit.fqn for culprit in found.culprits] == ["blocks.1.extra"]
    assert "Resource temporarily unavailable" in found.notes[0]


def test_every_trial_is_in_the_history():
    found = onnx_debug.diagnose(
        zoo.Stack({1: zoo.KilledInCapture()}).eval(), (torch.randn(2, 5, 8),)
    )
    assert [step.answer for step in found.trials] == [
        Verdict.FAILED,
        Verdict.FAILED,
        Verdict.PASSED,
    ]
    assert [step.module for step in found.trials] == ["", "blocks.1.extra", ""]
    assert "SIGSEGV" in found.trials[0].message
