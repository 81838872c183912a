"""Exporting one module alone: its inputs as the model gives them, its wrapper, its placeholders' sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from onnx_debug.eager.calls import Call, completion_order
from onnx_debug.eager.copies import CloneOnce, copy_tensor
from onnx_debug.eager.leaf import Leaf
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.eager.packing import Packed, pack
from onnx_debug.eager.recorder import Recorder, recorded
from onnx_debug.trial import submodule
from onnx_debug.trial.placeholders import Stub, StubError
from tests import zoo


def recording_of(model, *args, **kwargs):
    recorder = Recorder(ModuleNames(model), CloneOnce())
    with recorded(recorder):
        model(*args, **kwargs)
    return recorder.recording


class TakesPacked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(2, 3)

    def forward(self, packed: PackedSequence):
        return self.rnn(packed)[0]


def test_a_packed_sequence_passes_the_border_as_tensors():
    sequence = pack_sequence([torch.randn(3, 2), torch.randn(2, 2)])
    model = TakesPacked()
    call = recording_of(model, sequence).of("")[0]
    inputs = submodule.inputs_as_recorded(call, [()] * len(call.arguments.leaves))
    wrapper = submodule.Alone(model, inputs.template, inputs.numbers, inputs.leaves)
    assert torch.allclose(wrapper(*inputs.leaves)[0], model(sequence).data)


def test_every_call_is_recorded_with_its_caller():
    recording = recording_of(zoo.CalledWithTwoShapes(), torch.randn(8, 8))
    assert [(call.fqn, call.index, call.parent) for call in recording.calls] == [
        ("", 0, None),
        ("part", 0, 0),
        ("part", 1, 0),
    ]
    assert recording.calls[1].kind != recording.calls[2].kind
    assert [call.fqn for call in completion_order(recording)] == ["part", "part", ""]


def test_a_shared_module_is_recorded_under_one_name():
    recording = recording_of(zoo.SharedTwice(), torch.randn(1, 3, 3))
    assert {call.fqn for call in recording.calls} == {"", "left"}
    assert len(recording.of("left")) == 2


def test_a_record_keeps_what_a_later_layer_overwrites():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
    recording = recording_of(model, torch.randn(8, 4))
    before = recording.of("0")[0].output.tensors()[0]
    assert (before < 0).any()


class WritesToInput(nn.Module):
    def forward(self, x):
        x.mul_(2)


def test_a_module_that_only_writes_to_its_input_cannot_be_replaced():
    model = nn.Sequential(nn.ReLU(inplace=True), zoo.Block())
    model.add_module("writes", WritesToInput())
    model.forward = lambda x: (model[0](x), model[2](x), x)[2]
    recording = recording_of(model, torch.randn(2, 8))
    assert recording.of("0")[0].mutated == ()
    assert recording.of("writes")[0].mutated == (0,)
    with pytest.raises(StubError, match="in place"):
        Stub("writes", "WritesToInput", recording.of("writes"))


def test_a_copy_keeps_strides_and_requires_grad():
    for tensor in (
        torch.randn(2, 3, 4).transpose(0, 2),
        torch.randn(6)[::2],
        torch.randn(2, 1).expand(2, 5),
        torch.randn(3, requires_grad=True),
    ):
        twin = copy_tensor(tensor)
        assert torch.equal(twin, tensor)
        assert twin.requires_grad == tensor.requires_grad
    assert copy_tensor(torch.randn(2, 3).T).stride() == (1, 3)


def traced(*leaves):
    return Call(
        "m",
        0,
        None,
        arguments=Packed(pack((tuple(torch.zeros(1) for _ in leaves), {})).template, tuple(leaves)),
    )


def eager(*tensors):
    return Call("m", 0, None, arguments=pack((tensors, {})))


def test_inputs_take_values_from_eager_and_sizes_from_the_capture():
    value = torch.randn(2, 5)
    inputs = submodule.inputs_as_traced(
        eager(value), traced(Leaf(torch.float32, ("s0", 5), (2, 5), requires_grad=True)), [()]
    )
    assert torch.equal(inputs.leaves[0], value)
    assert inputs.dynamic == [(0,)]
    assert inputs.leaves[0].requires_grad
    assert not inputs.leaves[0].is_leaf
    assert inputs.from_eager


def test_a_tensor_that_only_the_capture_saw_is_made_up():
    mask = Leaf(torch.bool, (2, 5), (2, 5))
    inputs = submodule.inputs_as_traced(
        eager(torch.randn(2, 5)), traced(Leaf(torch.float32, (2, 5), (2, 5)), mask), [()]
    )
    assert inputs.leaves[1].all()
    assert not inputs.from_eager


def test_a_symbolic_number_becomes_a_tensor_to_read_it_from():
    length = Leaf(None, (), (5,), number="int", expression="s0")
    inputs = submodule.inputs_as_traced(
        eager(torch.randn(2)), traced(Leaf(torch.float32, (2,), (2,)), length), [()]
    )
    assert inputs.numbers == ["", "size"]
    assert inputs.leaves[1].shape == (5,)


def test_the_sizes_that_differ_between_calls_are_dynamic():
    first, second = (
        eager(torch.zeros(2, 5), torch.zeros(3)),
        eager(torch.zeros(4, 5), torch.zeros(3)),
    )
    inputs = submodule.inputs_as_recorded(first, submodule.varying_sizes([first, second]))
    assert inputs.dynamic == [(0,), ()]
    assert submodule.dynamic_axes(inputs) == {"input_0": [0]}


def test_an_export_holds_only_for_calls_that_differ_in_its_dynamic_sizes():
    first = eager(torch.zeros(2, 5))
    inputs = submodule.inputs_as_recorded(first, [(0,)])
    other, longer = eager(torch.zeros(4, 5)), eager(torch.zeros(2, 6))
    for call in (other, longer):
        call.output = pack(torch.zeros(1))
    assert inputs.takes(other)
    assert not inputs.takes(longer)


def test_a_size_that_varies_is_dynamic_though_the_capture_saw_it_fixed():
    leaf = Leaf(torch.float32, (2, 5), (2, 5))
    inputs = submodule.inputs_as_traced(eager(torch.zeros(2, 5)), traced(leaf), [(1,)])
    assert inputs.dynamic == [(1,)]
    assert inputs.as_in_eager
