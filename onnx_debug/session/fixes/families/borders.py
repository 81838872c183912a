"""A module around the model, where what it returns cannot leave a captured program."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from onnx_debug.data.failure import Failure
from onnx_debug.data.stage import Stage
from onnx_debug.request.case import Case
from onnx_debug.request.inputs import forward_signature
from onnx_debug.session.fixes.change import Change, Cost

_FLAT = '''import torch
from torch import nn


def tensors_in(value):
    """The tensors in a value, one after the other."""
    if isinstance(value, torch.Tensor):
        return [value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return []
    if isinstance(value, dict):
        value = list(value.values())
    elif not isinstance(value, (list, tuple)):
        if not hasattr(value, "__dict__") or hasattr(type(value), "__slots__"):
            raise TypeError(f"what a {{type(value).__name__}} holds is not known")
        value = list(vars(value).values())
    return [tensor for item in value for tensor in tensors_in(item)]


class Flat(nn.Module):
    """The model, with the tensors that it returns as a flat tuple."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, {taken}):
        return tuple(tensors_in(self.model({given})))


model = Flat(model)'''


@dataclass(frozen=True)
class FlatOutputs(Change):
    """A wrapper that returns tensors only."""

    @property
    def title(self) -> str:
        """What to do."""
        return "return a flat tuple of tensors, by a module around the model"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return "ONNX has no classes: the file returns the tensors, one after the other."

    @property
    def cost(self) -> Cost:
        """A few lines before the call."""
        return Cost.PREPARATION

    @property
    def new_answers(self) -> bool:
        """The model's own answer cannot be taken apart; that of the wrapper can."""
        return True

    @property
    def likely(self) -> bool:
        """It answers to what fails."""
        return True

    def apply(self, case: Case) -> Case:
        """With the model inside of the wrapper, by the very lines that are shown."""
        names: dict[str, Any] = {"model": case.model}
        exec(self.lines(case), names)
        return replace(case, model=names["model"])

    def lines(self, case: Case) -> str:
        """What the user writes."""
        taken, given = parameters_of(case.model)
        return _FLAT.format(taken=", ".join(taken), given=", ".join(given))


def parameters_of(model: nn.Module) -> tuple[list[str], list[str]]:
    """What the `forward` of a module around the model takes, and what it passes on, as source."""
    signature = forward_signature(model)
    parameters = list(signature.parameters.values()) if signature is not None else []
    taken = [str(one.replace(annotation=one.empty)) for one in parameters if _plain(one)]
    given = [
        one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD and _plain(one)
    ]
    if len(given) < len(parameters) or not given:
        return ["*args", "**kwargs"], ["*args", "**kwargs"]
    return taken, given


def _plain(parameter: inspect.Parameter) -> bool:
    """Whether its default can be written as it is printed."""
    return parameter.default in (parameter.empty, None) or isinstance(
        parameter.default, bool | int | float | str
    )


def proposals(case: Case, failure: Failure, fqns: set[str]) -> Iterator[Change]:
    """Where an export of the whole model fails at the model itself, and not by an operator."""
    if not case.dynamo or not fqns <= {""}:
        return
    if failure.stage is Stage.CAPTURE or (failure.stage is Stage.TRANSLATE and not failure.op):
        yield FlatOutputs()
