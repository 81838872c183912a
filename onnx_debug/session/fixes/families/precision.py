"""float32 in the place of types that are too coarse, or that ONNX Runtime has no kernels for."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from onnx_debug.data.culprit import Culprit
from onnx_debug.data.failure import Failure
from onnx_debug.data.stage import Stage
from onnx_debug.request.case import Case
from onnx_debug.request.inputs import forward_signature
from onnx_debug.session.fixes.change import Change, Cost
from onnx_debug.session.fixes.rewrite import NoRewriteError, Rewrite, name_of, with_span

_OTHER = (torch.float16, torch.bfloat16, torch.float64)
_STAGES = (Stage.LOAD, Stage.RUN, Stage.COMPARE)
_TYPES = {"float": "float32", "double": "float64"}
_COARSE = ("half", "bfloat16")
_COARSE_TYPES = ("torch.float16", "torch.half", "torch.bfloat16")


@dataclass(frozen=True)
class Float32(Change):
    """The whole model, and its inputs, in float32."""

    @property
    def title(self) -> str:
        """What to do."""
        return "export it in float32"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return "Weights and inputs become float32, for which ONNX Runtime has all kernels; a half-precision model doubles in size."

    @property
    def cost(self) -> Cost:
        """Another file than the one that was asked for."""
        return Cost.LESS

    @property
    def new_answers(self) -> bool:
        """Other numbers, in another type."""
        return True

    def apply(self, case: Case) -> Case:
        """With weights and inputs converted, weights in place."""
        case.model.float()
        kwargs = {name: _float32(value) for name, value in case.kwargs.items()}
        checks = [
            (tuple(map(_float32, args)), {name: _float32(value) for name, value in more.items()})
            for args, more in case.check_inputs
        ]
        args = tuple(map(_float32, case.args))
        return replace(case, args=args, kwargs=kwargs, check_inputs=tuple(checks))

    def lines(self, case: Case) -> str:
        """What the user writes."""
        signature = forward_signature(case.model)
        names = list(signature.parameters) if signature is not None else []
        given = [*zip(names, case.args, strict=False), *case.kwargs.items()]
        inputs = [f"{name} = {name}.float()" for name, value in given if _is_other(value)]
        return "\n".join(["model.float()", *inputs])


@dataclass(frozen=True)
class ComputeExactly(Rewrite):
    """The guilty function without half precision.

    Attributes:
        method: "float" (32 bits) or "double" (64 bits).
    """

    method: str

    @property
    def title(self) -> str:
        """What to do."""
        return f"compute line {self.source.line} in {_TYPES[self.method]}"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return "The function converts nothing to half precision, whose rounding is what differs. Its numbers become more exact."

    @property
    def new_answers(self) -> bool:
        """More exact ones."""
        return True

    def edit(self, text: str, line: int) -> str:
        """The function with the finer type wherever it names a coarser one."""
        del line
        return computed_in(text, self.method)


def computed_in(text: str, method: str) -> str:
    """The source of a function with a finer type in the place of float16 and bfloat16.

    Raises:
        NoRewriteError: it names neither.
    """
    changed = text
    while (found := next(_coarse(ast.parse(changed), method), None)) is not None:
        changed = with_span(changed, *found)
    if changed == text:
        raise NoRewriteError("the function names no type of half precision")
    return changed


def _coarse(tree: ast.AST, method: str) -> Iterator[tuple[ast.expr, str]]:
    """Each expression of half precision, with what takes its place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in _COARSE_TYPES:
            yield node, f"torch.{_TYPES[method]}"
        elif isinstance(node, ast.Attribute) and node.attr in _COARSE:
            yield name_of(node), method


def _is_other(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype in _OTHER


def _float32(value: Any) -> Any:
    return value.float() if _is_other(value) else value


def _has_other_types(model: nn.Module) -> bool:
    return any(map(_is_other, itertools.chain(model.parameters(), model.buffers())))


def proposals(case: Case, failure: Failure) -> Iterator[Change]:
    """Where a model of another type cannot be run, or answers otherwise."""
    if failure.stage in _STAGES and _has_other_types(case.model):
        yield Float32()


def rewrites(case: Case, culprit: Culprit) -> Iterator[Change]:
    """Where the guilty function computes in half precision."""
    if culprit.failure.stage not in _STAGES or culprit.source is None:
        return
    for method in _TYPES:
        change = ComputeExactly(culprit.source, method)
        if change.fits(case):
            yield change
