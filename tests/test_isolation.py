"""Nothing that a trial does reaches the user's process, and nothing is left behind."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch import nn

import onnx_debug
from onnx_debug.diagnosis import Answer
from onnx_debug.outcome import Mode, Stage
from tests import zoo


class ExitsInCapture(nn.Module):
    def forward(self, x):
        if torch.compiler.is_exporting():
            os._exit(0)
        return x


class EatsMemory(nn.Module):
    def forward(self, x):
        kept = []
        while torch.compiler.is_exporting():
            kept.append(bytearray(b"x" * 20_000_000))
        return x


class ForksAndSleeps(nn.Module):
    def forward(self, x):
        if torch.compiler.is_exporting():
            subprocess.Popen(["sleep", "77.7"])
            time.sleep(100)
        return x


class PrintsMuch(nn.Module):
    def forward(self, x):
        if torch.compiler.is_exporting():
            os.write(1, b"from the trial\n" * 1_000_000)
            print("from the trial", file=sys.stderr)
        return torch.linalg.qr(x)[0]


class Restless(nn.Module):
    """Changes everything that a forward can change."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(8), nn.Dropout()
        self.register_buffer("count", torch.zeros(1))
        self.seen, self.last = [], None

    def forward(self, x):
        self.count += 1
        self.seen.append(len(self.seen))
        self.last = x
        random.random()
        np.random.rand()
        return torch.linalg.qr(self.drop(self.norm(x)))[0]


def running_children():
    return [child for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]


def state_of(model, *, versions: bool):
    """Everything that must be bit-identical after a diagnosis; how often a tensor was written to only where nothing was."""
    tensors = {
        name: (tensor.clone(), versions and tensor._version, tensor.requires_grad)
        for name, tensor in model.state_dict(keep_vars=True).items()
    }
    modules = {name: (module.training, dict(module._forward_hooks), sorted(vars(module))) for name, module in model.named_modules()}
    numbers = (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist())
    return tensors, modules, numbers, torch.get_default_dtype(), torch.is_grad_enabled()


def assert_same_state(one, two):
    assert one[1:] == two[1:]
    for name, (tensor, *rest) in one[0].items():
        assert torch.equal(tensor, two[0][name][0]), name
        assert rest == list(two[0][name][1:]), name


@pytest.mark.parametrize("isolate", [True, False])
@pytest.mark.parametrize("train", [True, False])
def test_the_model_and_the_random_numbers_are_untouched(isolate, train):
    model = nn.Sequential(nn.Linear(8, 8), Restless()).train(train)
    before = state_of(model, versions=isolate)
    values = list(model[1].seen)
    found = onnx_debug.diagnose(model, (torch.ones(4, 8),), isolate=isolate)
    assert_same_state(before, state_of(model, versions=isolate))
    assert model[1].seen == values
    assert model[1].last is None
    assert found.culprits[0].fqn == "1"


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
        (ForksAndSleeps, Mode.TIMEOUT, {"timeout": 6.0}),
    ],
)
def test_a_trial_that_dies_is_an_answer_and_names_the_module(module, mode, limits):
    found = onnx_debug.diagnose(zoo.Stack({1: module()}).eval(), (torch.randn(2, 5, 8),), **limits)
    assert found.failure.mode is mode
    assert [culprit.fqn for culprit in found.culprits] == ["blocks.1.extra"]
    assert found.sufficient is True
    assert not running_children()
    assert not [process for process in psutil.process_iter(["cmdline"]) if "77.7" in (process.info["cmdline"] or [])]


def test_what_a_trial_prints_stays_in_its_log(capfd):
    found = onnx_debug.diagnose(PrintsMuch().eval(), (torch.randn(3, 3),))
    output = capfd.readouterr()
    assert "from the trial" not in output.out + output.err
    assert "from the trial" in found.log
    assert len(found.log) < 500_000


def test_nothing_is_left_after_many_diagnoses(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    model, given = zoo.RootOwnCode().eval(), (torch.randn(8, 8),)
    onnx_debug.diagnose(model, given, dynamo=False, opset_version=17)
    gc.collect()
    before = psutil.Process().num_fds()
    for _ in range(12):
        onnx_debug.diagnose(model, given, dynamo=False, opset_version=17)
    gc.collect()
    assert psutil.Process().num_fds() == before
    assert not running_children()
    assert not list(tmp_path.glob("onnx_debug_*"))


def test_files_live_as_long_as_the_diagnosis():
    found = onnx_debug.diagnose(nn.Linear(2, 2).eval(), (torch.randn(1, 2),))
    path = Path(found.onnx_path)
    assert path.exists()
    assert path.parents[1].stat().st_mode & 0o777 == 0o700
    del found
    gc.collect()
    assert not path.exists()


def test_an_interrupt_keeps_what_was_found_and_ends_every_process():
    def interrupt(event):
        if getattr(event, "number", 0) == 3:
            threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()

    begin = time.monotonic()
    found = onnx_debug.diagnose(zoo.ThreeFaults().eval(), (torch.randn(2, 6, 8),), on_event=interrupt)
    assert found.stopped
    assert 2 <= len(found.trials) < 9
    assert [culprit.fqn for culprit in found.culprits] == ["blocks.3.extra"]
    assert not running_children()
    assert time.monotonic() - begin < 60
    assert onnx_debug.diagnose(nn.Linear(2, 2).eval(), (torch.randn(1, 2),)).ok


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_user_process_takes_every_child_along(tmp_path, number):
    script = textwrap.dedent(f"""
        import tempfile; tempfile.tempdir = {str(tmp_path)!r}
        import torch, onnx_debug
        from tests import zoo
        def tell(event):
            print("event", flush=True)
        onnx_debug.diagnose(zoo.Stack({{1: zoo.HangsInCapture()}}).eval(), (torch.randn(2, 5, 8),), on_event=tell)
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    for _ in range(2):
        process.stdout.readline()
    time.sleep(1)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 3
    process.send_signal(number)
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=3)
    assert not alive
    assert not list(tmp_path.iterdir())


def test_live_threads_do_not_matter():
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            torch.randn(64, 64) @ torch.randn(64, 64)

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            found = onnx_debug.diagnose(zoo.RootOwnCode().eval(), (torch.randn(8, 8),), dynamo=False, opset_version=17, timeout=20)
            assert found.failure.stage is Stage.TRANSLATE
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_model_that_dies_in_eager_is_told_apart_from_its_export():
    class Dies(nn.Module):
        def forward(self, x):
            os.kill(os.getpid(), signal.SIGSEGV)
            return x

    found = onnx_debug.diagnose(nn.Sequential(nn.Linear(2, 2), Dies()), (torch.randn(1, 2),))
    assert (found.failure.stage, found.failure.mode) == (Stage.EAGER, Mode.CRASH)
    assert found.culprits[0].fqn == "1"
    assert found.trials == ()


def test_every_trial_is_in_the_history():
    found = onnx_debug.diagnose(zoo.Stack({1: zoo.KilledInCapture()}).eval(), (torch.randn(2, 5, 8),))
    assert [step.answer for step in found.trials] == [Answer.FAILED, Answer.FAILED, Answer.PASSED]
    assert [step.module for step in found.trials] == ["", "blocks.1.extra", ""]
    assert "SIGSEGV" in found.trials[0].message
