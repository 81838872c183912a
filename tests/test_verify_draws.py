"""The line that draws a random number."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

import onnx_debug
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.explain.locate import Locator
from onnx_debug.explain.random_lines import drawing_lines
from onnx_debug.request.case import make_case


class OfPython(nn.Module):
    def forward(self, x):
        factor = random.random()
        return x * factor


class OfNumpy(nn.Module):
    def forward(self, x):
        factor = np.random.rand()
        return x * factor


class InHelper(nn.Module):
    def forward(self, x):
        return x + self.noise(x)

    def noise(self, x):
        size = x.shape
        return torch.rand(size)


def lines_of(model):
    case = make_case(model, (torch.randn(2, 4),))
    return {clue.fqn: clue.source.text for clue in drawing_lines(case, Locator(ModuleNames(model)))}


@pytest.mark.parametrize(
    ("drawing", "line"),
    [
        (OfPython, "factor = random.random()"),
        (OfNumpy, "factor = np.random.rand()"),
        (InHelper, "return torch.rand(size)"),
        (nn.Dropout, "return F.dropout(input, self.p, self.training, self.inplace)"),
    ],
)
def test_the_line_of_a_draw(drawing, line):
    assert lines_of(nn.Sequential(nn.Linear(4, 4), nn.Sequential(drawing()))) == {"1.0": line}


def test_a_model_that_draws_nothing_has_no_such_line():
    assert lines_of(nn.Sequential(nn.Linear(4, 4), nn.Dropout()).eval()) == {}


@pytest.mark.parametrize("options", [{}, {"dynamo": False}, {"isolate": False, "dynamo": False}])
def test_a_diagnosis_shows_the_line_that_draws(options):
    found = onnx_debug.diagnose(
        nn.Sequential(nn.Linear(4, 4), OfNumpy()).eval(), (torch.randn(2, 4),), **options
    )
    assert found.culprits[0].fqn == "1"
    assert found.culprits[0].source.text == "factor = np.random.rand()"
