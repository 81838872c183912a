"""The warm-up says which of our hooks a torch no longer passes through."""

from __future__ import annotations

import contextlib

import pytest
import torch

from onnx_debug.compat import canary, exporter, modules, symbols


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
