"""The search with its real trials in processes of their own: random models with planted faults, and innocents that look suspicious."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from onnx_debug.data.culprit import ProofKind
from onnx_debug.data.stage import Verdict
from onnx_debug.session.diagnose import diagnose

CALLERS: list[str] = []  # classes of the modules that are running: a module can see who calls it


def branch(x):
    return x + 1 if x.sum() > 0 else x - 1


class Fine(nn.Module):
    def forward(self, x):
        return torch.relu(x) + 0.1


class Guilty(nn.Module):
    def forward(self, x):
        return branch(x)


class GuiltyInPlace(nn.Module):
    """Passes alone."""

    def forward(self, x):
        return branch(x) if CALLERS else x


class FailsAloneOnly(nn.Module):
    """Innocent, though alone it fails just as the guilty ones do."""

    def forward(self, x):
        return x if CALLERS else branch(x)


class FailsAloneOtherwise(nn.Module):
    """Innocent, though alone it cannot be exported."""

    def forward(self, x):
        if not CALLERS:
            raise ValueError("called by itself")
        return x * 2


class Group(nn.Sequential):
    def forward(self, x):
        CALLERS.append("Group")
        try:
            return super().forward(x)
        finally:
            CALLERS.pop()


FAULTS = (Guilty, GuiltyInPlace)
INNOCENTS = (Fine, FailsAloneOnly, FailsAloneOtherwise)


def model_of(seed: int) -> nn.Module:
    """Two groups of parts in a group; a model with an even seed has no fault."""
    chosen = random.Random(seed)
    kinds = INNOCENTS if seed % 2 == 0 else (*INNOCENTS, *FAULTS)
    inner = [[chosen.choice(kinds)() for _ in range(2)] for _ in range(2)]
    if seed % 2:
        inner[0][chosen.randrange(2)] = FAULTS[seed // 2 % 2]()
    return Group(Group(*inner[0]), chosen.choice(INNOCENTS)(), Group(*inner[1])).eval()


def faults_in(model: nn.Module, fqn: str) -> Iterator[str]:
    """The guilty modules in one part of the model."""
    for name, module in model.get_submodule(fqn).named_modules():
        if isinstance(module, FAULTS):
            yield name


@pytest.fixture(scope="module", params=range(4))
def planted(request):
    model = model_of(request.param)
    return model, diagnose(model, (torch.ones(2, 3),), dynamo=True, fixes=False)


def test_a_model_is_ok_exactly_when_nothing_is_planted(planted):
    model, found = planted
    assert found.ok is (not list(faults_in(model, "")))
    assert bool(found.culprits) is not found.ok


def test_every_culprit_has_its_failing_trial(planted):
    _, found = planted
    for culprit in found.culprits:
        answers = {
            trial.answer
            for trial in found.trials
            if trial.module == culprit.fqn or culprit.proof.kind is ProofKind.IN_PLACE
        }
        assert Verdict.FAILED in answers


def test_no_culprit_is_innocent_or_can_be_done_without(planted):
    model, found = planted
    for culprit in found.culprits:
        assert list(faults_in(model, culprit.fqn))
        assert culprit.proof.necessary is not False
