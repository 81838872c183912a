"""Graphs for display: light, uniquely named, traced back to modules, cut to size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnx_debug.onnx_file import display


def chain(length: int, scopes: bool = True) -> onnx.ModelProto:
    """`length` Relu nodes in a row; node i belongs to module `blocks.<i // 10>`."""
    nodes = []
    for i in range(length):
        node = helper.make_node("Relu", [f"v{i}"], [f"v{i + 1}"], name=f"node{i}")
        if scopes:
            node.metadata_props.add(
                key="pkg.torch.onnx.name_scopes", value=f"['', 'blocks.{i // 10}', 'relu_{i}']"
            )
        nodes.append(node)
    shape = ["batch", 4]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name in ("v0", f"v{length}")
    ]
    infos = [
        helper.make_tensor_value_info(f"v{i}", TensorProto.FLOAT, shape) for i in range(1, length)
    ]
    return helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], value_info=infos))


def test_weights_and_large_constants_go() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 18]> g (float[4] x) => (float[4] y) { y = Add(x, x) }'
    )
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(100_000, np.float32), "w"))
    constant = helper.make_node(
        "Constant", [], ["c"], value=numpy_helper.from_array(np.zeros(9_000, np.float32))
    )
    model.graph.node.append(constant)
    graph = display.display(model)
    assert len(graph.model) < 500
    shown = onnx.load_from_string(graph.model).graph
    assert list(shown.initializer[0].dims) == [100_000]
    assert list(shown.node[1].attribute[0].t.dims) == [9_000]


def test_external_data_is_not_read(tmp_path: Path) -> None:
    tensor = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[1 << 29], data_location=TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value="weights.that.do.not.exist")
    model = chain(2)
    model.graph.initializer.append(tensor)
    onnx.save(model, tmp_path / "big.onnx")
    graph = display.load(tmp_path / "big.onnx")
    assert b"do.not.exist" not in graph.model
    assert len(graph.model) < 2_000


def test_every_node_gets_a_name_of_its_own() -> None:
    model = chain(5)
    for node, name in zip(model.graph.node, ["a", "a", "", "", "a #1"], strict=True):
        node.name = name
    nodes = display.display(model).nodes
    assert len({node.name for node in nodes}) == 5
    assert [node.original for node in nodes] == ["a", "a", "", "", "a #1"]
    assert nodes[0].name == "a"


def test_nodes_know_their_module() -> None:
    nodes = display.display(chain(12)).nodes
    assert [nodes[0].fqn, nodes[11].fqn] == ["blocks.0", "blocks.1"]


@pytest.mark.parametrize(
    ("name", "fqn"),
    [
        ("/blocks/blocks.0/seq/seq.0/seq.0.1/Relu", "blocks.0.seq.0.1"),
        ("/blocks/blocks.0/ml.0.0/Gemm", "blocks.0.ml.0.0"),
        ("/blocks/blocks.1/a_1/Gemm", "blocks.1.d.a"),
        ("/blocks/blocks.0/Mul", "blocks.0"),
        ("/Mul", ""),
        ("Identity_0", None),
    ],
)
def test_names_of_the_legacy_exporter(name: str, fqn: str | None) -> None:
    parts = ["", ".seq", ".seq.0", ".seq.0.1", ".ml", ".ml.0", ".ml.0.0", ".d", ".d.a"]
    modules = ["", "blocks", *(f"blocks.{i}{part}" for i in (0, 1) for part in parts)]
    model = chain(1, scopes=False)
    model.graph.node[0].name = name
    assert display.display(model, modules=modules).nodes[0].fqn == fqn


def test_placeholders_carry_their_module() -> None:
    model = chain(2)
    model.graph.node[1].CopyFrom(
        helper.make_node(
            "BadQr", ["v1"], ["v2"], name="n", domain="onnx_debug", module="blocks.7.extra"
        )
    )
    node = display.display(model).nodes[1]
    assert (node.fqn, node.placeholder) == ("blocks.7.extra", True)


def test_a_large_graph_is_cut_around_the_module() -> None:
    graph = display.display(chain(5_000), focus="blocks.200")
    names = [node.name for node in graph.nodes]
    assert names == [f"node{i}" for i in range(1994, 2016)]
    assert (graph.total, graph.partial) == (5_000, True)
    shown = onnx.load_from_string(graph.model)
    onnx.checker.check_model(shown)
    assert [value.name for value in (*shown.graph.input, *shown.graph.output)] == ["v1994", "v2016"]


def test_a_large_graph_without_focus_starts_at_its_beginning() -> None:
    graph = display.display(chain(5_000), limit=900)
    assert len(graph.nodes) == 306
    assert graph.nodes[0].name == "node0"
