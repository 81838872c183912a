"""`install()` adds one line below a failing export, and changes nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import onnx_debug

FAILING = "import torch\ntorch.onnx.export('no module', (1,))"
OFFER = "onnx_debug: %onnx_postmortem"


@pytest.fixture
def offers(shell):
    onnx_debug.install()
    yield shell
    onnx_debug.uninstall()


def offered(shell, cell, capsys):
    """The lines of the cell's output that offer something, and its last line."""
    capsys.readouterr()
    shell.run_cell(cell)
    lines = capsys.readouterr().out.strip().splitlines()
    return [line for line in lines if line.startswith(OFFER)], lines[-1:]


def test_a_failing_export_ends_with_one_offer(offers, capsys):
    onnx_debug.install()  # once more is not one line more
    (line,), last = offered(offers, FAILING, capsys)
    assert last == [line]


def test_what_is_offered_works(offers, engine, capsys):
    offers.run_cell(FAILING)
    assert offers.run_cell("%onnx_postmortem").success
    assert engine.asked[0].model == "no module"


def test_an_error_behind_another_is_seen(offers, capsys):
    wrapped = "import torch\ntry:\n    torch.onnx.export('no module', 1)\nexcept Exception as e:\n    raise ValueError from e"
    assert len(offered(offers, wrapped, capsys)[0]) == 1


@pytest.mark.parametrize(
    "cell", ["1 / 0", "1 +", "1 + 1", "try:\n    raise KeyError\nexcept KeyError: pass"]
)
def test_other_cells_end_as_they_do(offers, capsys, cell):
    assert offered(offers, cell, capsys)[0] == []


def test_torch_is_left_alone(shell):
    before = torch.onnx.export, torch.onnx.export.__code__
    onnx_debug.install()
    assert (torch.onnx.export, torch.onnx.export.__code__) == before
    onnx_debug.uninstall()


def test_uninstalled_it_offers_nothing(offers, capsys):
    onnx_debug.uninstall()
    onnx_debug.uninstall()  # what is not there need not be there
    assert offered(offers, FAILING, capsys)[0] == []


def test_outside_of_ipython_it_says_where_it_works():
    ran = subprocess.run(
        [sys.executable, "-c", "import onnx_debug; onnx_debug.install()"],
        capture_output=True,
        text=True,
    )
    assert "works in a notebook or in IPython" in ran.stderr
