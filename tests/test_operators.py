"""The catalogue of decompositions: each is exported, run in ONNX Runtime on several sizes, and compared with torch."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.operators import Calling, compare, name_of_function, together
from onnx_debug.session.fixes.operators.apply import export_with
from onnx_debug.session.fixes.operators.paste import paste
from onnx_debug.session.fixes.operators.registry import (
    CATALOGUE,
    composites_of,
    entries_for,
    name_of,
    table,
)
from onnx_debug.torch_private.exporter import reuse_operator_registry

aten = torch.ops.aten
# Some entries stand in for what torch has deprecated, and their examples call it.
pytestmark = pytest.mark.filterwarnings(
    r"default:::onnx_debug\.session\.fixes\.operators\.catalogue"
)


def ids(entry):
    return f"{name_of_function(entry)}-{name_of(entry.targets[0]).rpartition('::')[2]}"


# Calls that are compared alike share one export.
CASES = [
    pytest.param(entry, together(list(examples)), id=f"{ids(entry)}-{tolerance:g}")
    for entry in CATALOGUE
    for tolerance, examples in groupby(entry.examples, lambda example: example.tolerance)
]


@pytest.fixture(autouse=True)
def fast_exports():
    with reuse_operator_registry():
        yield


def assert_alike(example, program):
    for got, want in compare(example, program).pairs:
        finite = want.abs()[want.isfinite()] if want.is_floating_point() else want.new_empty(0)
        size = finite.max().item() if finite.numel() else 0
        torch.testing.assert_close(
            got, want, rtol=example.tolerance, atol=example.tolerance * size, equal_nan=True
        )


# torch 2.14 mistakes a size in the scan of these while it takes the program apart.
NOT_IN_2_14 = ("linalg_solve_triangular", "triangular_solve", "linalg_lu_solve")


@pytest.mark.parametrize(("entry", "example"), CASES)
def test_what_is_pasted_runs_in_a_fresh_namespace_and_matches(entry, example):
    if torch.__version__ >= "2.14" and name_of_function(entry) in NOT_IN_2_14:
        pytest.xfail("torch 2.14 cannot decompose its scan")
    text = paste(
        entry,
        capture="program = torch.export.export(model, args, dynamic_shapes=shapes)",
        write="written = torch.onnx.export(program, verbose=False)",
    )
    names = {
        "model": Calling(example.call).eval(),
        "args": example.inputs()[0],
        "shapes": (example.dynamic_shapes(),),
    }
    exec(text, names)
    assert_alike(example, names["written"])


def test_every_example_has_inputs_of_three_sizes():
    for entry in CATALOGUE:
        for example in entry.examples:
            sizes = {tuple(value.shape for value in inputs) for inputs in example.inputs()}
            assert len(sizes) == 3, ids(entry)


def test_the_catalogue_is_as_large_as_it_says_and_names_nothing_twice():
    assert len({name_of_function(entry) for entry in CATALOGUE}) >= 60
    targets = Counter(target for entry in CATALOGUE for target in entry.targets)
    assert len(targets) >= 85
    assert [target for target, many in targets.items() if many > 1] == []


def test_what_an_entry_says_is_made_of_sentences():
    for entry in CATALOGUE:
        assert entry.title.endswith("."), ids(entry)
        assert entry.explanation.endswith("."), ids(entry)


def test_the_page_names_every_operator_and_function():
    page = (Path(__file__).parent.parent / "docs/operators.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) >= len(CATALOGUE)  # another torch may have lost some
    for entry in CATALOGUE:
        (line,) = (row for row in rows if f"`{name_of(entry.targets[0])}`" in row)
        assert all(f"`{name_of(target)}`" in line for target in entry.targets)
        assert f"`{name_of_function(entry)}`: {entry.title}" in line


@pytest.mark.parametrize(
    ("operator", "target"),
    [
        ("aten::cummax", aten.cummax.default),
        ("aten::sort.stable", aten.argsort.stable),
        ("prims::hypot", aten.hypot.default),
        ("aten::_cdist_forward.default", aten.cdist.default),
        ("aten::linalg_inv_ex.default", aten.inverse.default),
    ],
)
def test_the_table_has_the_operator_that_fails_and_those_that_lead_to_it(operator, target):
    assert target in table([operator])


def test_the_table_is_empty_where_nothing_is_known():
    assert table(["aten::nothing_of_the_kind"], [aten.cdist.default]) == {}


class Vandermonde(nn.Module):
    def forward(self, x):
        return torch.linalg.vander(x).sum(-1)


def test_a_composite_operator_without_entry_is_found_and_taken_apart():
    x = torch.tensor([0.5, 1.5, -2.0])
    program = torch.export.export(Vandermonde(), (x,))
    composites = composites_of(program, "prims::prod")
    assert composites == [aten.linalg_vander.default]
    written = export_with(table(["prims::prod"], composites), Vandermonde(), (x,))
    got = written(x)[0]
    torch.testing.assert_close(got, Vandermonde()(x))


def test_an_operator_that_is_in_the_captured_program_has_no_composite():
    program = torch.export.export(Calling(lambda x: torch.cummax(x, 0)[0]), (torch.ones(3),))
    assert composites_of(program, "aten::cummax.default") == []


def nodes_with(entries, call, *inputs):
    chosen = {target: entry.function for entry in entries for target in entry.targets}
    written = export_with(chosen, Calling(call), inputs, options={"verbose": False})
    return [node.op_type for node in written.model.graph]


def test_calls_that_need_no_decomposition_are_left_alone():
    relu = entries_for(["aten::relu"])
    assert nodes_with(relu, torch.relu, torch.ones(3)) == ["Relu"]
    scatter = entries_for(["aten::scatter_reduce.two"])
    index = torch.zeros(3, dtype=torch.int64)
    one_sum = nodes_with(
        scatter, lambda x: x.scatter_reduce(0, index, x, reduce="sum"), torch.ones(3)
    )
    assert one_sum == ["ScatterElements"]


class Named(nn.Module):
    def forward(self, x, *, weight):
        return torch.cummax(x * weight, 1)[0]


def test_names_sizes_and_opset_of_the_request_are_kept():
    options = {
        "dynamic_shapes": {"x": {0: "batch", 1: "length"}, "weight": {}},
        "input_names": ["left", "right"],
        "output_names": ["best"],
        "opset_version": 19,
        "verbose": False,
    }
    kwargs = {"weight": torch.ones(())}
    written = export_with(
        table(["aten::cummax"]), Named(), (torch.ones(2, 3),), kwargs, options
    ).model_proto
    shape = written.graph.input[0].type.tensor_type.shape
    assert [dim.dim_param for dim in shape.dim] == ["batch", "length"]
    assert [value.name for value in written.graph.input] == ["left", "right"]
    assert written.graph.output[0].name == "best"
    assert written.opset_import[0].version == 19


class OfNumpy(nn.Module):
    def forward(self, x):
        return torch.cummax(x, 0)[0] + torch.from_numpy((x * 2).numpy())


def test_the_capture_is_tried_in_strict_mode_too():
    x = torch.randn(4)
    written = export_with(table(["aten::cummax"]), OfNumpy(), (x,), options={"verbose": False})
    torch.testing.assert_close(written(x)[0], OfNumpy()(x))


def test_the_first_failure_is_shown_where_no_capture_succeeds():
    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(Exception, match="data-dependent"):
        export_with({}, Branching(), (torch.ones(3),))


@pytest.mark.parametrize("options", [{"dynamic_axes": {"x": [0]}}, {"dynamo": False}])
def test_what_only_the_exporter_can_do_is_refused(options):
    with pytest.raises(ValueError, match="dynamo=True"):
        export_with({}, Named(), (torch.ones(2, 3),), options=options)
