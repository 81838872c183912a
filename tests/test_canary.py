"""The warm-up says which of our hooks a torch no longer passes through."""

from __future__ import annotations

import contextlib

import pytest
import torch

import onnx_debug
from onnx_debug.torch_private import canary, exporter, modules, symbols


@pytest.mark.parametrize("dynamo", [True, False])
def test_this_torch_passes_through_every_hook_and_no_random_number_is_drawn(dynamo):
    before = torch.get_rng_state()
    assert canary.check(dynamo=dynamo) == ()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("home", "hook", "said"),
    [
        (symbols, "watch_specializations", "hard-codes a dynamic size"),
        (exporter, "watch_steps", "capture and translation"),
        (modules, "intercept_module_calls", "which module runs"),
    ],
)
def test_a_hook_that_sees_nothing_is_said(monkeypatch, home, hook, said):
    monkeypatch.setattr(home, hook, lambda *_: contextlib.nullcontext())
    assert any(said in note for note in canary.check(dynamo=True))


def test_a_diagnosis_says_what_this_torch_no_longer_shows(monkeypatch):
    monkeypatch.setattr(canary, "check", lambda **_: ("This torch is not known well.",))
    found = onnx_debug.diagnose(torch.nn.Linear(2, 2).eval(), (torch.zeros(1, 2),), dynamo=False)
    assert "This torch is not known well." in found.notes


@pytest.mark.parametrize("asked", [None, 13, 18, 20, "newest"])
def test_the_tables_of_a_request_are_built_once(monkeypatch, asked):
    monkeypatch.setattr(exporter, "_REGISTRIES", {})
    exporter.build_operator_tables(asked)
    built = set(exporter._REGISTRIES)
    canary.check(dynamo=True, opset_version=asked)
    assert set(exporter._REGISTRIES) == built
    assert len(built) == 1
