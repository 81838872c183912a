"""Loading, running and comparing exported files."""

from __future__ import annotations

import onnx
import pytest
import torch

from onnx_debug.onnx_file import compare, runtime
from onnx_debug.onnx_file.feeds import feeds_for
from onnx_debug.onnx_file.runnable import Hole, make_runnable


def save(tmp_path, text, name="model.onnx"):
    path = tmp_path / name
    onnx.save(onnx.parser.parse_model(text), path)
    return path


ADD = '<ir_version: 10, opset_import: ["" : 20]> agraph (float[N] x, float[N] y) => (float[N] z) { z = Add(x, y) }'
PLACEHOLDER = """<ir_version: 10, opset_import: ["" : 20, "onnx_debug" : 1]> agraph (float[N] x) => (float[N] z) {
    h = Relu(x)
    g = onnx_debug.Broken<module = "a.b", call = 1>(h)
    z = Add(g, h)
}"""


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32,
        torch.float16,
        torch.float64,
        torch.int64,
        torch.int32,
        torch.bool,
        torch.uint8,
    ],
)
def test_a_tensor_of_any_type_goes_in_and_out_unchanged(tmp_path, dtype):
    kind = {"float32": "float", "float64": "double"}.get(str(dtype)[6:], str(dtype)[6:])
    path = save(
        tmp_path,
        f'<ir_version: 10, opset_import: ["" : 20]> agraph ({kind}[3] x) => ({kind}[3] z) {{ z = Identity(x) }}',
    )
    given = torch.tensor([1, 0, 2]).to(dtype)
    (got,) = runtime.run_session(runtime.open_session(path), ["z"], {"x": given})
    assert got.dtype is dtype
    assert torch.equal(got, given)


def test_bfloat16_goes_in_and_out(tmp_path):
    path = save(
        tmp_path,
        '<ir_version: 10, opset_import: ["" : 20]> agraph (bfloat16[2] x) => (bfloat16[2] z) { z = Identity(x) }',
    )
    given = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
    (got,) = runtime.run_session(runtime.open_session(path), ["z"], {"x": given})
    assert torch.equal(got, given)


def test_a_sequence_comes_back_as_its_tensors(tmp_path):
    path = save(
        tmp_path,
        '<ir_version: 10, opset_import: ["" : 20]> agraph (float[4] x) => (seq(float) z) { z = SplitToSequence<axis = 0>(x) }',
    )
    got = runtime.run_session(runtime.open_session(path), ["z"], {"x": torch.arange(4.0)})
    assert [tensor.tolist() for tensor in got] == [[0.0], [1.0], [2.0], [3.0]]
    wrong = [*got[:3], torch.full((1,), 9.0)]
    assert [bool(row.problem) for row in compare.compare_outputs(["z"], wrong, got)] == [
        *[False] * 3,
        True,
    ]


def test_a_placeholder_becomes_an_input(tmp_path):
    runnable = make_runnable(save(tmp_path, PLACEHOLDER))
    assert runnable.inputs == ["x"]
    assert runnable.holes == [Hole("g", "a.b", 1, 0, ("h",))]
    assert runnable.reaching == ["h"]
    feeds = {"x": torch.tensor([1.0, -1.0]), "g": torch.tensor([10.0, 20.0])}
    (got,) = runtime.run_session(runtime.open_session(runnable.path), runnable.outputs, feeds)
    assert got.tolist() == [11.0, 20.0]


def test_intermediate_values_come_out_of_one_session(tmp_path):
    runnable = make_runnable(save(tmp_path, PLACEHOLDER), also=["h"])
    feeds = {"x": torch.tensor([1.0, -1.0]), "g": torch.tensor([10.0, 20.0])}
    got = runtime.run_session(runtime.open_session(runnable.path), runnable.outputs, feeds)
    assert [value.tolist() for value in got] == [[11.0, 20.0], [1.0, 0.0]]


def test_nodes_without_a_kernel_are_found_by_loading_each_kind_alone():
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 20]> agraph (int32[3] x, float[3] y) => (int32[3] z, float[3] w) { z = Gelu(x)  w = Gelu(y) }'
    )
    assert [list(node.input) for node in runtime.refused_nodes(model)] == [["x"]]


def test_numbers_and_none_are_fed_as_the_graph_expects(tmp_path):
    runnable = make_runnable(save(tmp_path, ADD))
    one, two = torch.ones(2), torch.zeros(2)
    assert list(feeds_for(runnable, [one, None, two, 3])) == ["x", "y"]
    with pytest.raises(ValueError, match="2 inputs"):
        feeds_for(runnable, [one])


def test_an_output_that_is_a_placeholders_is_copied_in_time(tmp_path):
    header = '<ir_version: 10, opset_import: ["" : 20, "onnx_debug" : 1]>'
    text = (
        header
        + ' agraph (float[N] x) => (float[N] z) { z = onnx_debug.Broken<module = "a", call = 0>(x) }'
    )
    runnable = make_runnable(save(tmp_path, text))
    given = torch.arange(1000.0)
    for _ in range(20):
        (got,) = runtime.run_session(
            runtime.open_session(runnable.path), runnable.outputs, {"x": given, "z": given * 2}
        )
        assert torch.equal(got, given * 2)
