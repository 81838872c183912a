"""Every value of an exported file against the captured program that it was translated from: one session, and where a difference starts.

The exporter gives a value of the file the name of its FX node. Each node is computed twice: from
the program's own values, which says how far the two have come apart so far, and from ONNX's values,
which says whether they come apart here. So what merely spreads, or is only made larger by a later
layer, blames nobody.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import fx
from torch.export.graph_signature import InputKind, OutputKind

from onnx_debug.data.comparison import Comparison, NodeError
from onnx_debug.data.failure import Clue, ClueKind, Topic
from onnx_debug.eager.values import nudged
from onnx_debug.explain.graph_nodes import from_fx_node
from onnx_debug.explain.known_wrong import known_wrong
from onnx_debug.explain.locate import Locator
from onnx_debug.onnx_file.compare import Tolerance, compare_outputs
from onnx_debug.onnx_file.intermediate import OnnxValues
from onnx_debug.torch_private.graphs import argument_names, operator_name

_MEMORY = 1 << 30
_DIGITS = 4.0  # units of the last digit that rounding may change in the inputs of one operator


@dataclass
class ComparedValues:
    """What a walk through the program found.

    Attributes:
        rows: one for each value that the program and the file both have, in the order of execution.
        origins: where wrong numbers start, in the same order.
        outputs: what the program itself returns, without changed buffers; if eager returns
            something else, the capture is at fault.
        random: an operator draws random numbers; what it draws is not compared.
        sessions: how many ONNX Runtime sessions it took.
    """

    rows: list[NodeError] = field(default_factory=list)
    origins: list[Clue] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    random: bool = False
    sessions: int = 0


def compare_values(
    program: torch.export.ExportedProgram,
    path: Path,
    leaves: Sequence[Any],
    locator: Locator,
    *,
    tolerance: Tolerance = Tolerance(),  # noqa: B008 - frozen
    memory: int = _MEMORY,
) -> ComparedValues:
    """Walk through the program beside the file.

    Args:
        program: the decomposed program, `onnx_program.exported_program`.
        path: the file that was made from it, without placeholders.
        leaves: what is passed to the model, flat, in the order of the program's inputs.
        locator: finds the modules.
        tolerance: how far values may differ.
        memory: bytes of ONNX values to keep at once; a model with more takes several sessions.

    Raises:
        ValueError: the leaves do not fit the program or the file.
        Exception: ONNX Runtime's own, where it cannot load or run the file with all its values as
            outputs.
    """
    walk = _Walk(program, OnnxValues(path, program.graph, leaves, memory), leaves, tolerance)
    with torch.no_grad():
        for node in program.graph.nodes:
            walk.step(node)
    for node, row in walk.wrong or walk.shaky:
        maker = node.all_input_nodes[0] if node.target is operator.getitem else node
        walk.found.origins += [
            _with_reason(clue, row, maker, shaky=not walk.wrong)
            for clue in from_fx_node(maker, locator, ClueKind.VALUE)
        ]
    walk.found.sessions = walk.onnx.sessions
    return walk.found


def _with_reason(clue: Clue, row: NodeError, node: fx.Node, *, shaky: bool) -> Clue:
    passed = (*argument_names(node.target)[: len(node.args)], *node.kwargs)
    known = known_wrong(clue.op or "", passed, dynamo=True)
    reason = f"gets the right inputs and returns wrong numbers ({known or row.own_problem})"
    if shaky:
        reason = (
            f"loses its digits: what cancels here leaves little but rounding ({row.own_problem})"
        )
    return replace(clue, reason=reason, topic=Topic.KNOWN_WRONG if known and not shaky else None)


class _Walk:
    """Runs the program node by node, once on its own values and once on ONNX's.

    Attributes:
        own: the program's values.
        wrong, shaky: nodes whose own numbers are wrong, and those that rounding explains: what they
            add or subtract cancels.
        fed: where they can differ from `own`, the values that follow from ONNX's.
    """

    def __init__(
        self,
        program: Any,
        onnx: OnnxValues,
        leaves: Sequence[Any],
        tolerance: Tolerance,
    ) -> None:
        self.onnx, self.found = onnx, ComparedValues()
        self.wrong: list[tuple[fx.Node, NodeError]] = []
        self.shaky: list[tuple[fx.Node, NodeError]] = []
        self._module, self._tolerance = program.graph_module, tolerance
        self._returned = program.graph_signature.output_specs
        self._given = iter(_placeholder_values(program, leaves))
        self._own: dict[fx.Node, Any] = {}
        self._fed: dict[fx.Node, Any] = {}
        self._last_use = {
            used: node for node in program.graph.nodes for used in node.all_input_nodes
        }

    def step(self, node: fx.Node) -> None:
        """Compute one node and forget what nothing needs any more."""
        if node.op == "placeholder":
            self._own[node] = next(self._given)
        elif node.op == "get_attr":
            self._own[node] = operator.attrgetter(str(node.target))(self._module)
        elif node.op == "call_function":
            self._call(node)
        else:
            returned: Any = fx.node.map_arg(node.args[0], self._own.__getitem__)
            kinds = [spec.kind for spec in self._returned]
            self.found.outputs = [
                value
                for value, kind in zip(returned, kinds, strict=True)
                if kind is OutputKind.USER_OUTPUT
            ]
        for used in node.all_input_nodes:
            if self._last_use[used] is node:
                self._own.pop(used, None)
                self._fed.pop(used, None)

    def _call(self, node: fx.Node) -> None:
        own = self._own[node] = _compute(node, self._own.__getitem__)
        from_onnx = any(used in self._fed for used in node.all_input_nodes)
        fed = (
            _compute(node, lambda used: self._fed.get(used, self._own[used])) if from_onnx else own
        )
        got = self.onnx.get(node.name) if isinstance(own, torch.Tensor) else None
        if got is not None:
            got = _like(got, own)
            if _draws_numbers(node, own, self._own.__getitem__):
                self.found.random = True
            else:
                self._compare(node, own, fed, got)
            fed = got if got.shape == own.shape else fed
        if fed is not own:
            self._fed[node] = fed

    def _compare(
        self, node: fx.Node, own: torch.Tensor, fed: torch.Tensor, got: torch.Tensor
    ) -> None:
        so_far, here = (
            compare_outputs([node.name], [_real(value)], [_real(got)], self._tolerance)[0]
            for value in (own, fed)
        )
        row = NodeError(
            node.name,
            operator_name(node.target) or "",
            so_far.max_abs_diff,
            so_far.problem,
            here.problem,
        )
        self.found.rows.append(row)
        if row.own_problem:
            found = self.shaky if self._rounds(node, fed, here) else self.wrong
            found.append((node, row))

    def _rounds(self, node: fx.Node, fed: torch.Tensor, here: Comparison) -> bool:
        """Whether the last digits of the node's inputs decide as much: a sum of what cancels is nothing but rounding."""
        generator = torch.Generator().manual_seed(0)

        def nudge(used: fx.Node) -> Any:
            value = self._fed.get(used, self._own[used])
            is_real = isinstance(value, torch.Tensor) and not value.is_complex()
            return nudged(value, _DIGITS, generator) if is_real else value

        moved = compare_outputs(
            [node.name], [_real(fed)], [_real(_compute(node, nudge))], self._tolerance
        )[0]
        return moved.max_abs_diff >= here.max_abs_diff > 0


def _compute(node: fx.Node, value_of: Any) -> Any:
    args, kwargs = fx.node.map_arg(node.args, value_of), fx.node.map_arg(node.kwargs, value_of)
    return node.target(*args, **kwargs)  # type: ignore[operator]


def _placeholder_values(program: Any, leaves: Sequence[Any]) -> list[Any]:
    """Parameters, buffers, constants and inputs, in the order of the program's placeholders."""
    specs = program.graph_signature.input_specs
    from_user = [spec for spec in specs if spec.kind is InputKind.USER_INPUT]
    if len(from_user) != len(leaves):
        raise ValueError(f"the program has {len(from_user)} inputs, the call passes {len(leaves)}")
    held = {**program.constants, **program.state_dict}
    given = iter(leaves)
    return [next(given) if spec in from_user else held.get(spec.target) for spec in specs]


def _draws_numbers(node: fx.Node, own: torch.Tensor, value_of: Any) -> bool:
    """Attention and dropout carry the tag also where their probability is 0, so the node is asked a second time."""
    if node.target is operator.getitem:
        return _seeded(node.all_input_nodes[0])
    return _seeded(node) and not torch.equal(
        own.nan_to_num(), _compute(node, value_of).nan_to_num()
    )


def _seeded(node: fx.Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _like(got: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """ONNX's value as the program would hold it: complex numbers are pairs of reals there, sizes and truth values of another type."""
    if own.is_complex():
        return (
            torch.view_as_complex(got.contiguous()).to(own.dtype) if got.shape[-1:] == (2,) else got
        )
    plain = got.reshape(own.shape) if got.numel() == own.numel() == 1 else got
    return plain.to(own.dtype)


def _real(value: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(value.resolve_conj()) if value.is_complex() else value
