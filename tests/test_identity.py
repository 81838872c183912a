"""What modules hand each other by identity is the same thing in every process: asked across real forks."""

from __future__ import annotations

import dataclasses
import types

import pytest
import torch
from torch import nn

import onnx_debug
from onnx_debug.data.culprit import ProofKind
from onnx_debug.eager.packing import pack, unpack
from tests.test_isolation import LEGACY

GIVEN = (torch.randn(2, 4),)


class Calls(nn.Module):
    """Hands `self.made(...)` to its child, which cannot be exported."""

    def __init__(self, make, child) -> None:
        super().__init__()
        self.first, self.child, self.make = nn.Linear(4, 4), child, make

    def forward(self, x):
        return self.child(self.first(x), self.make(self))


class Factors(nn.Module):
    """Uses what it is given, and an operator without translation."""

    def __init__(self, use) -> None:
        super().__init__()
        self.use = use

    def forward(self, x, given):
        return torch.linalg.qr(self.use(given, x))[0]


class Scaled(Calls):
    scale = 2.0


def local_class():
    @dataclasses.dataclass
    class Local:
        scale: float

    return Local


def local_function():
    return lambda x: x * 2


Redefined = local_class()
Redefined.__qualname__ = "Scaled"  # as after a second run of the cell that defines it


def closure_over(model):
    scale = model.first.weight.sum()

    def inner(x, depth=1):
        return x * scale if not depth else inner(x, depth - 1)

    return inner


KEPT_CLASS, KEPT_FUNCTION = local_class(), local_function()
MODEL_PARTS = {
    "owner": (lambda model: model, lambda given, x: given.scale * x),
    "sibling": (lambda model: model.first, lambda given, x: given(x)),
    "local class": (lambda model: KEPT_CLASS(2.0), lambda given, x: given.scale * x),
    "the class itself": (lambda model: KEPT_CLASS, lambda given, x: given(2.0).scale * x),
    "redefined class": (lambda model: Redefined(2.0), lambda given, x: given.scale * x),
    "kept function": (lambda model: KEPT_FUNCTION, lambda given, x: given(x)),
    "new function": (lambda model: lambda x: x * 2, lambda given, x: given(x)),
    "new closure": (closure_over, lambda given, x: given(x)),
    "bound method": (lambda model: model.first.forward, lambda given, x: given(x)),
    "Python module": (lambda model: torch.nn.functional, lambda given, x: given.relu(x)),
    "made module": (lambda model: types.ModuleType("made"), lambda given, x: x * len(str(given))),
}


@pytest.mark.parametrize("isolate", [True, False])
@pytest.mark.parametrize("kind", [name for name in MODEL_PARTS if name != "made module"])
def test_what_crosses_the_border_of_a_module_is_the_same_in_every_process(kind, isolate):
    make, use = MODEL_PARTS[kind]
    model = Scaled(make, Factors(use)).eval().requires_grad_(False)
    found = onnx_debug.diagnose(model, GIVEN, isolate=isolate, **LEGACY)
    assert [culprit.fqn for culprit in found.culprits] == ["child"]
    assert found.culprits[0].proof.kind is ProofKind.ALONE, found.trials
    assert found.sufficient is True


def test_an_object_that_only_one_process_has_leaves_the_trial_unresolved():
    make, use = MODEL_PARTS["made module"]
    model = Scaled(make, Factors(use)).eval().requires_grad_(False)
    found = onnx_debug.diagnose(model, GIVEN, **LEGACY)
    assert not found.ok
    assert any("made while the model ran" in step.message for step in found.trials)


class ReturnsLocal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part, self.kind = nn.Linear(4, 4), local_class()

    def forward(self, x):
        return self.kind(torch.linalg.qr(self.part(x))[0])


def test_a_model_that_returns_a_local_class_is_answered():
    model = ReturnsLocal().eval()  # only the new exporter takes such an output
    torch.export.register_dataclass(model.kind, serialized_type_name="tests.ReturnsLocal.kind")
    found = onnx_debug.diagnose(model, GIVEN)
    assert found.failure is not None
    assert found.failure.op.startswith("aten::linalg_qr")


def test_a_function_that_holds_itself_survives_both_ways():
    model = Scaled(closure_over, None)
    packed = pack(closure_over(model))
    (scale,) = packed.leaves
    assert unpack(packed.template, packed.leaves)(torch.ones(1)) == scale
