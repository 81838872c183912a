"""From what is passed to a module to what is fed to its graph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch

from onnx_debug.onnx_file.runnable import Runnable
from onnx_debug.request.case import Case, Inputs
from onnx_debug.request.inputs import forward_signature
from onnx_debug.torch_private.tensors import tree_leaves


def graph_leaves(case: Case, inputs: Inputs) -> list[Any]:
    """What is passed to the whole model, flat, in the order of the graph's inputs.

    Keywords stand as they were given, or as the legacy exporter sorts them, by parameter.
    """
    args, kwargs = inputs
    signature = forward_signature(case.model)
    order = list(signature.parameters) if signature is not None and not case.dynamo else []
    sorted_kwargs = dict(
        sorted(
            kwargs.items(),
            key=lambda item: order.index(item[0]) if item[0] in order else len(order),
        )
    )
    return tree_leaves((args, sorted_kwargs))


def feeds_for(
    runnable: Runnable, leaves: Sequence[Any], input_names: Sequence[str] = ()
) -> dict[str, torch.Tensor]:
    """The graph's inputs, by position, from the flat list of what was passed to the module.

    None is dropped, numbers become tensors, complex tensors pairs of reals: what both exporters do.

    Args:
        runnable: the exported file.
        leaves: what was passed.
        input_names: the names that were asked for; the legacy exporter leaves out inputs that are
            not used.

    Raises:
        ValueError: fewer or more values than inputs.
    """
    matched = match_inputs(runnable.inputs, leaves, input_names)
    return {name: _as_feed(leaf) for name, leaf in matched.items()}


def match_inputs(
    names: Sequence[str], leaves: Sequence[Any], input_names: Sequence[str] = ()
) -> dict[str, Any]:
    """Which of the leaves enters the graph under which of its input names; arguments and errors as in `feeds_for`."""
    values = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor | bool | int | float)]
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    for candidates in (tensors, values):
        if len(candidates) == len(names):
            return dict(zip(names, candidates, strict=True))
    positions = [_position(name, input_names) for name in names]
    if all(position is not None and position < len(tensors) for position in positions):
        return {
            name: tensors[position]
            for name, position in zip(names, positions, strict=True)
            if position is not None
        }
    raise ValueError(
        f"the graph has {len(names)} inputs ({', '.join(names)}), the call passes {len(tensors)} tensors"
    )


def _position(name: str, input_names: Sequence[str]) -> int | None:
    """Which argument an input of the legacy exporter was: by the name asked for, else by the number that ends its own names."""
    if name in input_names:
        return list(input_names).index(name)
    found = re.fullmatch(r"onnx::\w+_(\d+)|input\.(\d+)", name)
    return int(found[1] or found[2]) if found else None


def _as_feed(leaf: Any) -> torch.Tensor:
    if not isinstance(leaf, torch.Tensor):
        return torch.tensor(leaf)
    return torch.view_as_real(leaf.detach().resolve_conj()) if leaf.is_complex() else leaf.detach()


def flat_tensors(leaves: Sequence[Any]) -> list[torch.Tensor]:
    """The tensors among the leaves, complex ones as pairs of reals: what ONNX returns."""
    return [_as_feed(leaf) for leaf in leaves if isinstance(leaf, torch.Tensor)]
