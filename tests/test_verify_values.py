"""Where wrong numbers start: planted in exported files, found in one session."""

from __future__ import annotations

import warnings

import onnx
import pytest
import torch
from torch import nn

from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.explain.locate import Locator
from onnx_debug.explain.node_by_node import compare_values
from onnx_debug.torch_private import exporter


class Step(nn.Module):
    def forward(self, x):
        up = x * 1.01
        return up + 0.01


class Chain(nn.Module):
    """Two nodes a step."""

    def __init__(self, steps: int = 100) -> None:
        super().__init__()
        self.steps = nn.ModuleList(Step() for _ in range(steps))

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        return x


class Wave(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(6, 6)

    def forward(self, x, scale=None, *, parts=2):
        wave = torch.view_as_complex(self.line(x).reshape(*x.shape[:-1], 3, 2)) * 2
        left, right = torch.view_as_real(wave).flatten(-2).chunk(parts, -1)
        return torch.topk(left, 2).values, right.cumsum(0)


def exported(model, args, path, **options):
    with exporter.reuse_operator_registry(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(model.eval(), args, verbose=False, **options)
    program.save(path)
    return program.exported_program


def plant(path, *outputs, op="Sub"):
    model = onnx.load(path)
    for node in model.graph.node:
        if node.output[0] in outputs:
            node.op_type = op
    onnx.save(model, path)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    path = tmp_path_factory.mktemp("chain") / "chain.onnx"
    model = Chain()
    program = exported(model, (torch.rand(3),), path)
    return model, program, path.read_bytes()


def compared(chain, tmp_path, *outputs, **options):
    model, program, content = chain
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    plant(path, *outputs)
    return compare_values(program, path, [torch.rand(3)], Locator(ModuleNames(model)), **options)


def test_equal_numbers_blame_nobody(chain, tmp_path):
    found = compared(chain, tmp_path)
    assert (len(found.rows), found.sessions, found.origins) == (200, 1, [])
    assert [row for row in found.rows if row.problem or row.own_problem] == []


def test_a_wrong_node_of_two_hundred_is_found_in_one_session(chain, tmp_path):
    found = compared(chain, tmp_path, "add_57")
    assert found.sessions == 1
    (origin,) = found.origins
    assert origin.fqn == "steps.57"
    assert (origin.source.text, origin.op) == ("return up + 0.01", "aten::add.Tensor")
    assert "max difference 0.02" in origin.reason
    assert sum(bool(row.problem) for row in found.rows) == 200 - 2 * 57 - 1


def test_two_wrong_nodes_are_told_from_what_they_spread_to(chain, tmp_path):
    found = compared(chain, tmp_path, "add_11", "add_80")
    assert [origin.fqn for origin in found.origins] == ["steps.11", "steps.80"]


def test_a_model_beyond_the_memory_bound_takes_a_few_sessions(chain, tmp_path):
    found = compared(chain, tmp_path, "add_57", memory=600)
    assert (len(found.rows), found.sessions) == (200, 4)
    assert [origin.fqn for origin in found.origins] == ["steps.57"]


def test_a_difference_that_is_only_made_larger_blames_nobody(tmp_path):
    class Cancels(nn.Module):
        def forward(self, x):
            return (x + 1e-5) - x

    program = exported(Cancels(), (torch.rand(3),), tmp_path / "m.onnx")
    plant(tmp_path / "m.onnx", "add")
    found = compare_values(
        program, tmp_path / "m.onnx", [torch.ones(3)], Locator(ModuleNames(Cancels()))
    )
    assert [bool(row.problem) for row in found.rows] == [False, True]
    assert found.origins == []


def test_complex_numbers_sizes_tuples_and_absent_inputs(tmp_path):
    model, batch = Wave(), torch.export.Dim("batch")
    program = exported(
        model, (torch.randn(2, 6),), tmp_path / "m.onnx", dynamic_shapes={"x": {0: batch}}
    )
    for rows in (2, 5):
        x = torch.randn(rows, 6)
        found = compare_values(program, tmp_path / "m.onnx", [x], Locator(ModuleNames(model)))
        assert len(found.rows) >= 5
        assert [row.name for row in found.rows if row.own_problem] == []
        torch.testing.assert_close(found.outputs, list(model(x)))


def test_inputs_that_do_not_fit_are_refused(chain, tmp_path):
    with pytest.raises(ValueError, match="passes 2"):
        compare_values(chain[1], _written(chain, tmp_path), [1, 2], Locator(ModuleNames(chain[0])))


def _written(chain, tmp_path):
    (tmp_path / "model.onnx").write_bytes(chain[2])
    return tmp_path / "model.onnx"


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(4, 4)

    def forward(self, x):
        return torch.cond(x.sum() > 0, lambda x: self.line(x), lambda x: x - 1, (x,)) * 2


class Counts(nn.Module):
    """The exporter takes batch norm for that of evaluation, whatever the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        self.seen += 1
        return self.norm(x) * 2


@pytest.mark.parametrize(("model", "culprits"), [(Branches(), []), (Counts(), ["norm"])])
def test_branches_are_walked_and_buffers_are_no_outputs(model, culprits, tmp_path):
    with exporter.reuse_operator_registry(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model.train(), (torch.randn(3, 4),), tmp_path / "m.onnx", verbose=False
        )
    found = compare_values(
        program.exported_program,
        tmp_path / "m.onnx",
        [torch.randn(3, 4)],
        Locator(ModuleNames(model)),
    )
    assert [origin.fqn for origin in found.origins] == culprits
    assert len(found.outputs) == 1
    assert all(origin.op.startswith("aten::_native_batch_norm") for origin in found.origins)


class Centred(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(333, 2)

    def forward(self, x):
        centred = x - x.mean(-1, keepdim=True)
        return centred.sum(-1), self.line(x) + 1


def test_what_cancels_is_to_blame_only_where_nothing_else_is(tmp_path):
    x, model = torch.randn(8, 333), Centred()
    program = exported(model, (x,), tmp_path / "m.onnx")

    def reasons():
        found = compare_values(program, tmp_path / "m.onnx", [x], Locator(ModuleNames(model)))
        assert float(found.outputs[0].abs().max()) < 1e-4
        return [origin.reason for origin in found.origins]

    assert all("loses its digits" in reason for reason in reasons())
    plant(tmp_path / "m.onnx", "add")
    assert all("returns wrong numbers" in reason for reason in reasons())
