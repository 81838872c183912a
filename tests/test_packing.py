"""Values taken apart and put together again."""

from __future__ import annotations

import collections
import dataclasses
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onnx_debug.eager.packing import PackingError, fill, pack, plain, unpack

Named = collections.namedtuple("Named", "x y")
LEAF = st.builds(lambda n: torch.full((n,), float(n)), st.integers(0, 3))
CONSTANT = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
VALUES = st.recursive(
    LEAF | CONSTANT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=8,
)


def same(one, two):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, list | tuple):
        return type(one) is type(two) and len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    return one == two


@given(VALUES)
def test_a_nested_value_survives_both_ways(value):
    packed = pack(value)
    assert same(unpack(packed.template, packed.leaves), value)
    structure = plain(value, packed.leaves)
    assert structure is not None
    assert same(fill(structure[0], packed.leaves), value)


def test_other_tensors_can_take_the_places():
    packed = pack({"a": [torch.zeros(2), 1]})
    assert unpack(packed.template, ["new"]) == {"a": ["new", 1]}


def test_one_tensor_in_two_places_is_one_leaf():
    tensor = torch.ones(1)
    packed = pack((tensor, {"again": tensor}))
    assert len(packed.leaves) == 1


def test_dataclasses_named_tuples_and_packed_sequences_are_taken_apart():
    sequence = torch.nn.utils.rnn.pack_sequence([torch.ones(2, 1), torch.ones(1, 1)])
    value = (Named(torch.ones(1), 2), sequence)
    packed = pack(value)
    back = unpack(packed.template, packed.leaves)
    assert isinstance(back[0], Named)
    assert torch.equal(back[1].data, sequence.data)
    assert plain(value, packed.leaves) is None


def test_classes_made_inside_a_function_keep_their_identity():
    @dataclasses.dataclass
    class Local:
        value: torch.Tensor

    packed = pack(Local(torch.ones(1)))
    assert type(unpack(packed.template, packed.leaves)) is Local


def test_modules_are_handed_on_by_reference():
    module = torch.nn.Linear(1, 1)
    packed = pack([module])
    assert packed.leaves == ()
    assert unpack(packed.template, ())[0] is module


def test_what_cannot_be_taken_apart_says_so():
    with pytest.raises(PackingError, match="lock"):
        pack(threading.Lock())
