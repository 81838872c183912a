"""Functions in the place of operators that cannot be exported, are exported wrongly, or cannot be run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from onnx_debug.request.case import Case
from onnx_debug.session.fixes.change import Change, Cost
from onnx_debug.session.fixes.operators.decomposition import Decomposition
from onnx_debug.session.fixes.operators.registry import (
    CATALOGUE,
    composites_of,
    entries_for,
    name_of,
    table,
)
from onnx_debug.torch_private import custom_operators

Table = dict[Any, Callable[..., Any]]


@dataclass(frozen=True)
class Decompose(Change):
    """Entries of the catalogue.

    Attributes:
        operators: what fails, as `namespace::name.overload`.
    """

    operators: tuple[str, ...]

    @property
    def title(self) -> str:
        """What to do."""
        return f"decompose {_listed(self.operators)}"

    @property
    def explanation(self) -> str:
        """What it changes."""
        said = [f"{entry.title} {entry.limits}".strip() for entry in entries_for(self.operators)]
        return " ".join(dict.fromkeys(said))

    @property
    def likely(self) -> bool:
        """It answers to what fails."""
        return True

    @property
    def cost(self) -> Cost:
        """Functions to paste."""
        return Cost.OPERATORS

    def apply(self, case: Case) -> Case:
        """With every captured program decomposed.

        Without gradients, because torch 2.13 cannot decompose a scan a second time with them.
        """
        case.model.requires_grad_(requires_grad=False)
        return replace(case, within=(*case.within, partial(_decomposed, self._table)))

    def lines(self, case: Case) -> str:
        """Without gradients, where the model has any."""
        needs = any(parameter.requires_grad for parameter in case.model.parameters())
        return "model.requires_grad_(False)" if needs else ""

    def _table(self, program: Any) -> Table:
        composites = [target for name in self.operators for target in composites_of(program, name)]
        return table(self.operators, composites)

    def decompositions(self) -> tuple[Decomposition, ...]:
        """The functions to paste."""
        return tuple(entries_for(self.operators))


@dataclass(frozen=True)
class TraceCustomOperators(Change):
    """Custom operators as the Python that they were made of.

    Attributes:
        operators: what fails, as `namespace::name.overload`.
    """

    operators: tuple[str, ...]

    @property
    def title(self) -> str:
        """What to do."""
        return f"export {_listed(self.operators)} as its own Python code"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return (
            "The function behind the custom operator is captured in its place. No number changes."
        )

    @property
    def likely(self) -> bool:
        """It answers to what fails."""
        return True

    @property
    def cost(self) -> Cost:
        """A table of one line."""
        return Cost.OPERATORS

    def apply(self, case: Case) -> Case:
        """With every captured program decomposed."""
        functions = custom_operators.functions(self.operators)
        return replace(case, within=(*case.within, partial(_decomposed, lambda _: functions)))

    def table(self) -> dict[str, str]:
        """The function that each operator was made of; the decorated one calls the operator."""
        found = custom_operators.functions(self.operators)
        return {
            f"torch.ops.{op}": f"{function.__name__}._init_fn" for op, function in found.items()
        }


@contextlib.contextmanager
def _decomposed(table_of: Callable[[Any], Table]) -> Iterator[None]:
    """In this block every captured program is taken apart by a table of its own."""
    export = torch.export.export

    def decomposed(*args: Any, **kwargs: Any) -> Any:
        program = export(*args, **kwargs)
        return program.run_decompositions(table_of(program))

    torch.export.export = decomposed
    try:
        yield
    finally:
        torch.export.export = export


def proposals(case: Case, operators: Iterable[str]) -> Iterator[Change]:
    """What is known of these operators; the legacy exporter knows no decompositions."""
    if not case.dynamo:
        return
    wanted = tuple(dict.fromkeys(name for op in operators for name in _as_torch_names(op)))
    known = tuple(name for name in wanted if entries_for([name]))
    if known:
        yield Decompose(known)
    custom = tuple(name for name in wanted if custom_operators.functions([name]))
    if custom:
        yield TraceCustomOperators(custom)


def _as_torch_names(operator: str) -> list[str]:
    """A torch operator as it stands; for one of ONNX ("Relu") the torch operators of that name in the catalogue."""
    if "::" in operator:
        return [operator]
    targets = [name_of(target) for entry in CATALOGUE for target in entry.targets]
    wanted = operator.lower()
    return [name for name in targets if name.rpartition("::")[2].partition(".")[0] == wanted]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name.removesuffix(".default") for name in names)
