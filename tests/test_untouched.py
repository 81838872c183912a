"""A diagnosis leaves the model, the random numbers and the process bit by bit as they were: random models, in a fork and in process."""

from __future__ import annotations

import logging
import random
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import onnx_debug

LEGACY = {"dynamo": False, "opset_version": 17}


class Counts(nn.Module):
    """Writes to buffers and attributes in its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("last", torch.zeros(1), persistent=False)
        self.history, self.named, self.held = [], {}, {"cache": [torch.zeros(2)]}

    def forward(self, x):
        self.seen += 1
        self.last = x.detach().sum()
        self.history.append(len(self.history))
        self.named[f"call {len(self.named)}"] = True
        self.held["cache"][0].add_(1)
        self.new_attribute = x
        return x


class Draws(nn.Module):
    """Uses random numbers of every source, of its own too."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.python, self.numpy = (
            torch.Generator().manual_seed(3),
            random.Random(4),
            np.random.default_rng(5),
        )

    def forward(self, x):
        drawn = (
            torch.rand(1, generator=self.own) * random.random()
            + np.random.rand()
            + self.python.random()
            + self.numpy.random()
        )
        return x + float(drawn) + torch.rand(1)


class Switches(nn.Module):
    """Changes the process in its forward."""

    def forward(self, x):
        logging.getLogger("torch.onnx").setLevel(logging.CRITICAL)
        logging.root.addHandler(logging.NullHandler())
        warnings.simplefilter("ignore")
        np.seterr(all="ignore")
        torch.set_default_dtype(torch.float64)
        torch.set_default_dtype(torch.float32)
        return x


class Hooked(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 4)
        self.notes = []
        self.register_forward_hook(lambda module, args, output: self.notes.append(1))
        self.register_forward_pre_hook(lambda module, args: self.notes.append(2))


class Breaks(nn.Module):
    def forward(self, x):
        return torch.linalg.qr(x)[0]


class Swaps(nn.Module):
    """Replaces its parameter's data and freezes it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x):
        y = x * self.weight
        self.weight.data = self.weight.data + 1
        self.weight.requires_grad_(False)
        self.weight.grad = None
        return y


PARTS = {
    "linear": lambda: nn.Linear(4, 4),
    "norm": lambda: nn.BatchNorm1d(4),
    "dropout": nn.Dropout,
    "counts": Counts,
    "draws": Draws,
    "switches": Switches,
    "hooked": Hooked,
    "swaps": Swaps,
    "breaks": Breaks,
}


def bits(value):
    """A value as something that is equal only to the same bits."""
    if isinstance(value, torch.Tensor):
        grad = bits(value.grad) if value.is_leaf and value.grad is not None else None
        return (
            id(value),
            value.data_ptr(),
            value.dtype,
            tuple(value.shape),
            value.detach().numpy().tobytes(),
            value.requires_grad,
            grad,
        )
    if isinstance(value, torch.Generator):
        return id(value), value.get_state().numpy().tobytes()
    if isinstance(value, random.Random):
        return id(value), value.getstate()
    if isinstance(value, np.random.Generator):
        return id(value), repr(value.bit_generator.state)
    if isinstance(value, dict):
        return id(value), type(value), [(key, bits(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return id(value), [bits(item) for item in value]
    if isinstance(value, nn.Module):
        return id(value), type(value), bits(vars(value))  # a replaced forward is among them
    return value if isinstance(value, str | int | float | bool) else id(value)


def process_state():
    """What an exporter or a forward may change outside the model."""
    loggers = {"": logging.root} | {
        name: found
        for name, found in logging.root.manager.loggerDict.items()
        if hasattr(found, "handlers")
    }
    return {
        "random": (
            torch.get_rng_state().numpy().tobytes(),
            random.getstate(),
            repr(np.random.get_state()),
        ),
        "torch": (
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.get_num_threads(),
            torch.get_default_device(),
        ),
        "numpy": np.geterr(),
        "warnings": (list(warnings.filters), id(warnings.showwarning)),
        "logging": {
            name: (
                found.level,
                found.disabled,
                found.propagate,
                list(found.handlers),
                list(found.filters),
            )
            for name, found in loggers.items()
        },
        "functions": [
            *(
                nn.Module.__call__,
                torch.onnx.export,
                torch.export.export,
                torch.export.ExportedProgram.run_decompositions,
                torch.jit.trace,
            ),
            *(
                nn.Module.__setattr__,
                nn.Module.__getattr__,
                torch.Tensor.__bool__,
                nn.functional.dropout,
                torch.rand,
            ),
        ],
    }


def new_loggers_are_fine(before, after):
    """The exporter's own loggers come with its first import."""
    after["logging"] = {
        name: found for name, found in after["logging"].items() if name in before["logging"]
    }
    return after


def trained(names, *, train):
    """A model in the middle of training: grads, and an optimizer with momentum."""
    torch.manual_seed(0)
    model = nn.Sequential(*(PARTS[name]() for name in names)).train(train)
    optimizer = torch.optim.SGD(
        [*model.parameters(), nn.Parameter(torch.ones(1))], lr=0.1, momentum=0.9
    )
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("isolate", [True, False])
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(names=st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=4), train=st.booleans())
def test_nothing_is_touched(isolate, names, train):
    model, optimizer = trained(names, train=train)
    inputs = torch.randn(3, 4, requires_grad=True)
    onnx_debug.diagnose(
        nn.Identity(), (torch.ones(1),), **LEGACY
    )  # what is imported at the first use is no change
    before = (
        bits(model),
        bits(optimizer.state_dict()["param_groups"]),
        [bits(state) for state in optimizer.state.values()],
        bits(inputs),
    )
    process = process_state()
    onnx_debug.diagnose(model, (inputs,), isolate=isolate, **LEGACY)
    assert process == new_loggers_are_fine(process, process_state())
    after = (
        bits(model),
        bits(optimizer.state_dict()["param_groups"]),
        [bits(state) for state in optimizer.state.values()],
        bits(inputs),
    )
    assert before[0] == after[0]
    assert before[2:] == after[2:]


@pytest.mark.parametrize("isolate", [True, False])
def test_nothing_is_touched_by_the_new_exporter(isolate):
    model, _ = trained(["counts", "norm", "hooked", "dropout", "switches", "breaks"], train=True)
    inputs = torch.randn(3, 4)
    onnx_debug.diagnose(nn.Identity(), (torch.ones(1),), isolate=isolate)
    before, process = bits(model), process_state()
    onnx_debug.diagnose(model, (inputs,), isolate=isolate)
    assert process == new_loggers_are_fine(process, process_state())
    assert before == bits(model)
