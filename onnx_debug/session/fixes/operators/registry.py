"""All decompositions, and which of them help where an operator fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import fx

from onnx_debug.session.fixes.operators.catalogue import (
    bessel,
    complex_numbers,
    distances,
    elementwise,
    error_functions,
    factorizations,
    gamma,
    jacobi,
    no_kernel,
    polynomials,
    pooling,
    running,
    scattering,
    searching,
    solving,
    sorting,
)
from onnx_debug.session.fixes.operators.decomposition import Decomposition
from onnx_debug.torch_private import exporter, graphs
from onnx_debug.torch_private.operators import ABSENT

_SUBJECTS: dict[str, tuple[Decomposition, ...]] = {
    "Running extrema and products": running.ENTRIES,
    "Sorting and order statistics": sorting.ENTRIES,
    "Searching and selecting": searching.ENTRIES,
    "Scattering": scattering.ENTRIES,
    "Distances": distances.ENTRIES,
    "Gamma functions": gamma.ENTRIES,
    "Bessel functions": bessel.ENTRIES,
    "Error functions": error_functions.ENTRIES,
    "Orthogonal polynomials": polynomials.ENTRIES,
    "Factorizations": factorizations.ENTRIES,
    "Eigenvalues and singular values": jacobi.ENTRIES,
    "Solving and inverses": solving.ENTRIES,
    "Pooling, resampling, batch statistics": pooling.ENTRIES,
    "Elementwise": elementwise.ENTRIES,
    "Complex numbers": complex_numbers.ENTRIES,
    "No kernel in ONNX Runtime": no_kernel.ENTRIES,
}


def _present(entries: Iterable[Decomposition]) -> tuple[Decomposition, ...]:
    """The entries for operators that this torch has."""
    found = (
        replace(entry, targets=tuple(one for one in entry.targets if one is not ABSENT))
        for entry in entries
    )
    return tuple(entry for entry in found if entry.targets)


SUBJECTS = {subject: _present(entries) for subject, entries in _SUBJECTS.items()}
CATALOGUE: tuple[Decomposition, ...] = tuple(
    entry for entries in SUBJECTS.values() for entry in entries
)


def name_of(target: Any) -> str:
    """`namespace::name.overload` of an operator, with `default` written out."""
    return with_overload(graphs.operator_name(target) or "")


def with_overload(operator: str) -> str:
    """The name of an operator with its overload, which torch leaves out where it is `default`."""
    return operator if "." in operator.rpartition("::")[2] else f"{operator}.default"


def entries_for(operators: Iterable[str]) -> list[Decomposition]:
    """The entries that help where any of these operators (`namespace::name.overload`) fails."""
    wanted = {with_overload(operator) for operator in operators}
    return [
        entry
        for entry in CATALOGUE
        if wanted & {*map(name_of, entry.targets), *map(with_overload, entry.reaches)}
    ]


def table(
    operators: Iterable[str], composites: Iterable[Any] = ()
) -> dict[Any, Callable[..., Any]]:
    """What `ExportedProgram.run_decompositions` takes, so that none of these operators is left.

    Args:
        operators: what fails, as `namespace::name.overload`.
        composites: what of the captured program leads there, as `composites_of` finds it. Those
            without an entry of their own are taken apart by torch's own decomposition: the table
            would keep them whole.

    Returns:
        Functions by operator; empty where the catalogue has nothing.
    """
    found = {target: entry.function for entry in entries_for(operators) for target in entry.targets}
    if not found:
        return {}
    usual = torch.export.default_decompositions()
    return found | {
        target: usual[target] for target in composites if target not in found and target in usual
    }


def composites_of(program: torch.export.ExportedProgram, operator: str) -> list[Any]:
    """The operators of a captured program that the exporter decomposes to this one, which is left out itself.

    The failure names `aten::_cdist_forward.default` where the program has `aten.cdist.default`.
    """
    wanted = with_overload(operator)
    captured = {node.name: node.target for node in _operators(program)}
    decomposed = program.run_decompositions(exporter.decompositions())
    found = {
        captured[name]: None
        for node in _operators(decomposed)
        if name_of(node.target) == wanted
        for name in graphs.origins(node)
        if name in captured and name_of(captured[name]) != wanted
    }
    return list(found)


def _operators(program: torch.export.ExportedProgram) -> list[fx.Node]:
    """The calls of operators in a program, those in branches and loops too."""
    return [
        node
        for module in program.graph_module.modules()
        if isinstance(module, fx.GraphModule)
        for node in module.graph.nodes
        if node.op == "call_function" and graphs.operator_name(node.target) is not None
    ]
