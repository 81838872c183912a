"""Inputs that the model would make itself, passed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from onnx_debug.data.failure import Failure
from onnx_debug.data.stage import Stage
from onnx_debug.request.case import Case
from onnx_debug.request.inputs import forward_signature
from onnx_debug.session.fixes.change import Change, Cost

_MASK = "attention_mask"


@dataclass(frozen=True)
class PassTheMask(Change):
    """A mask of ones, which a library makes in eager and leaves out while it is captured.

    Attributes:
        like: the name of the input that has the mask's shape.
    """

    like: str

    @property
    def title(self) -> str:
        """What to do."""
        return f"pass {_MASK}"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return "The model makes a mask of ones where none is given, but not while it is captured. The file takes the mask as an input."

    @property
    def cost(self) -> Cost:
        """One more input."""
        return Cost.CALL

    @property
    def is_call(self) -> bool:
        """One argument."""
        return True

    def apply(self, case: Case) -> Case:
        """With the mask among the keyword inputs.

        Raises:
            ValueError: the request speaks of the inputs in a way that has no place for one more.
        """
        options = dict(case.options)
        shapes = options.get("dynamic_shapes")
        if options.get("input_names") or options.get("dynamic_axes"):
            raise ValueError("the inputs have names that leave no room for one more")
        if isinstance(shapes, dict):
            options["dynamic_shapes"] = {**shapes, _MASK: shapes.get(self.like)}
        elif shapes:
            raise ValueError("dynamic_shapes leaves no room for one more input")
        mask = torch.ones_like(_given(case)[self.like])
        return replace(case, kwargs={**case.kwargs, _MASK: mask}, options=options)

    def lines(self, case: Case) -> str:
        """What the user writes before the call."""
        del case
        return f"{_MASK} = torch.ones_like({self.like})"


def _given(case: Case) -> dict[str, Any]:
    signature = forward_signature(case.model)
    if signature is None:
        return {}
    try:
        return dict(signature.bind(*case.args, **case.kwargs).arguments)
    except TypeError:
        return {}


def proposals(case: Case, failure: Failure) -> Iterator[Change]:
    """Where the model takes a mask, got none, and gets tokens."""
    signature, given = forward_signature(case.model), _given(case)
    if signature is None or failure.stage in (Stage.EAGER, Stage.OPTIONS) or case.check_inputs:
        return
    if _MASK not in signature.parameters or given.get(_MASK) is not None:
        return
    for name, value in given.items():
        if isinstance(value, torch.Tensor) and value.dim() == 2 and not value.is_floating_point():
            yield PassTheMask(name)
            return
