"""Standalone scripts: written from a culprit, and offered only after they failed alike in a clean process."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

import onnx_debug
from onnx_debug.data.stage import Mode
from onnx_debug.session.repro import make
from onnx_debug.session.repro.prove import Ran

X = torch.randn(3, 8)
FACTOR = 2.5


def scaled(x):
    return x * FACTOR


class Running(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim
        self.inner = nn.Linear(8, 8)

    def forward(self, x):
        return torch.cummax(scaled(self.inner(x)), self.dim).values


class Counts(nn.Module):
    def forward(self, x):
        return x + torch.relu((x > 0).sum(-1, keepdim=True) - 2)


def session_of(culprit, **options):
    return onnx_debug.Session(
        nn.Sequential(nn.Linear(8, 8), culprit).eval(), (X,), fixes=False, **options
    )


def test_a_script_holds_what_the_culprit_needs_and_fails_for_whoever_runs_it(tmp_path):
    with session_of(Running(-1)) as session:
        session.run()
        found = session.repro()
    assert found.proven
    assert found.module == "1"
    for needed in ("class Running", "def scaled", "FACTOR = 2.5", "Running(dim=-1)"):
        assert needed in found.script
    script = found.save(tmp_path / "repro")
    done = subprocess.run(
        [sys.executable, "-I", str(script)], cwd=script.parent, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert found.script in (tmp_path / "repro" / "issue.md").read_text()
    assert found.tracker.endswith("pytorch/pytorch/issues")


def test_what_the_runtime_cannot_load_belongs_to_its_tracker():
    with session_of(Counts()) as session:
        session.run()
        found = session.repro("1")
    assert found.proven
    assert "InferenceSession" in found.script
    assert "onnxruntime" in found.tracker


@pytest.mark.parametrize(
    "ran",
    [
        Ran(None),
        Ran(Mode.ERROR, "export", "NameError"),
        Ran(Mode.ERROR, "export", "DispatchError", "aten::cummin"),
        Ran(Mode.ERROR, "load", "DispatchError", "aten::cummax"),
    ],
)
def test_a_script_that_does_not_fail_alike_is_not_offered(monkeypatch, tmp_path, ran):
    monkeypatch.setattr(make, "run", lambda *_: ran)
    with session_of(Running(-1)) as session:
        session.run()
        found = session.repro()
    assert not found.proven
    assert found.script == found.issue == ""
    assert "does not fail alike" in found.why_not
    with pytest.raises(ValueError, match="there is no script to save"):
        found.save(tmp_path)


def test_where_there_is_nothing_to_show_it_says_so():
    with session_of(nn.ReLU()) as session:
        session.run()
        assert session.repro().why_not == "nothing fails"
    with session_of(Running(-1)) as session:
        assert "not known" in session.repro("").why_not
        session.run()
        with pytest.raises(ValueError, match=r"no module '1\.innr'"):
            session.repro("1.innr")
    assert "closed" in session.repro().why_not
