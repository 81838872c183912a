"""The magic and the command line with the real engine, on models small enough to wait for."""

from __future__ import annotations

import subprocess
import sys

import pytest

BLOCKED = """\
%%onnx_export
import torch
from torch import nn

class Shift(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            x = x + 1
        return x

model = nn.Sequential(nn.Linear(4, 4), Shift(), nn.ReLU())
torch.onnx.export(model, (torch.ones(2, 4),), "blocked.onnx")
"""
FREE = """\
%%onnx_export
import torch
model, x = torch.nn.Linear(4, 4).eval(), torch.ones(2, 4)
program = torch.onnx.export(model, (x,), "free.onnx")
"""
FILE = """\
import torch
def good():
    return torch.nn.Linear(4, 4).eval(), (torch.ones(2, 4),)
def bad():
    return torch.nn.Linear(4, 4).eval(), (torch.ones(2, 3),)
"""


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_class_of_the_cell_is_named_with_its_line(shell, in_tmp):
    done = shell.run_cell(BLOCKED, store_history=True)
    data, _ = shell.display_formatter.format(done.result)
    first, *rest = data["text/plain"].splitlines()
    assert first.startswith("✗ 1 (Shift) stops the export at capture: ")
    assert any(f"Cell In[{done.execution_count}]:7  if x.sum() > 0:" in line for line in rest)
    assert "class Shift" in data["text/html"]
    assert not (in_tmp / "blocked.onnx").exists()


def test_a_model_that_exports_gives_the_program_and_the_file(shell, in_tmp):
    import torch

    d = shell.run_cell(FREE).result
    names = shell.user_ns
    assert d.ok
    assert (in_tmp / "free.onnx").stat().st_size > 0
    torch.testing.assert_close(names["program"](names["x"])[0], names["model"](names["x"]))


@pytest.mark.parametrize(
    ("case", "status", "said"),
    [
        ("good", 0, "✓ Linear exports"),
        ("bad", 1, "✗ Linear itself fails"),
        ("none", 2, "has no function"),
    ],
)
def test_the_command_line(in_tmp, case, status, said):
    (in_tmp / "cases.py").write_text(FILE)
    done = subprocess.run(
        [sys.executable, "-m", "onnx_debug", f"cases.py:{case}", "--html", "r.html"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert said in done.stdout + done.stderr
    assert (in_tmp / "r.html").exists() == (status < 2)
