"""The request: what is wrong with it, what was meant, and how that is written."""

from __future__ import annotations

import ast
import io
from collections import namedtuple

import onnx
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.export import Dim

from onnx_debug.data.errors import CaseError
from onnx_debug.request.case import Case, make_case
from onnx_debug.request.correction import corrected, problems
from onnx_debug.request.spell import call_text

USERS, ITEMS = torch.randn(4, 3), torch.randn(5, 3)
IMAGE = torch.randn(4, 1, 8, 8)
BATCH = {"input": {0: "batch_size"}, "output": {0: "batch_size"}}


class Convolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x):
        return self.conv(x).relu()


class TwoInputs(nn.Module):
    def forward(self, users, items, mask=None, scale=2):
        return users * scale, items + 1


class Keywords(nn.Module):
    def forward(self, x, **extra):
        return x + extra["a"]


class Nested(nn.Module):
    def forward(self, batch, pair):
        return batch["a"] * 2, pair[0] + 1, pair[1].sum()


class Scaled(nn.Module):
    def forward(self, x, n):
        return x * n


def request(model, args, kwargs=None, *, dynamo=True, **options):
    return Case(model, args, {} if kwargs is None else kwargs, {**options, "dynamo": dynamo})


def found(*call, **options):
    return problems(request(*call, **options))


def entries(*call, **options):
    return [problem.entry for problem in found(*call, **options)]


def meant(*call, **options):
    better = corrected(request(*call, **options))
    return better and {name: value for name, value in better.options.items() if name != "dynamo"}


def meant_shapes(args=(USERS, ITEMS), model=None, **options):
    new = meant(model or TwoInputs(), args, **options)
    return new and new["dynamic_shapes"]


def graph_shapes(model, args, kwargs=None, *, dynamo=True, **options):
    """Shapes of the exported graph's inputs and outputs, by name."""
    if dynamo:
        proto = torch.onnx.export(
            model.eval(), args, kwargs=kwargs, verbose=False, **options
        ).model_proto
    else:
        file = io.BytesIO()
        torch.onnx.export(model.eval(), args, file, kwargs=kwargs, dynamo=False, **options)
        proto = onnx.load_from_string(file.getvalue())
    return {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*proto.graph.input, *proto.graph.output)
    }


# --- dynamic_axes, with dynamo=True


def test_the_old_introduction_s_call_names_its_entries_and_gets_the_call_that_works():
    assert entries(Convolution(), (IMAGE,), dynamic_axes=BATCH) == [
        "dynamic_axes['input']",
        "dynamic_axes['output']",
    ]
    new = meant(Convolution(), (IMAGE,), dynamic_axes=BATCH)
    assert new == {"dynamic_shapes": {"x": {0: "batch_size"}}}
    shapes = graph_shapes(Convolution(), (IMAGE,), **new)
    assert [shape[0] for shape in shapes.values()] == ["batch_size", "batch_size"]


def test_dynamic_axes_with_both_lists_of_names_is_fine():
    options = {"dynamic_axes": BATCH, "input_names": ["input"], "output_names": ["output"]}
    assert found(Convolution(), (IMAGE,), **options) == []
    assert graph_shapes(Convolution(), (IMAGE,), **options)["output"][0] == "batch_size"


def test_dynamic_axes_that_leave_an_input_out_get_an_entry_for_it():
    new = meant(TwoInputs(), (USERS, ITEMS), dynamic_axes={"items": {0: "m"}})
    assert new == {"dynamic_shapes": {"users": None, "items": {0: "m"}}}
    assert graph_shapes(TwoInputs(), (USERS, ITEMS), **new)["items"] == ["m", 3]


def test_dynamic_axes_in_another_order_are_read_by_order():
    options = {"dynamic_axes": {"items": {0: "m"}, "users": {1: "n"}}}
    assert len(found(TwoInputs(), (USERS, ITEMS), **options)) == 2
    assert graph_shapes(TwoInputs(), (USERS, ITEMS), **options)["users"] == [
        "m",
        3,
    ]  # the reason for the problem
    assert meant_shapes(**options) == {"users": {1: "n"}, "items": {0: "m"}}


def test_two_unnamed_axes_for_one_of_two_inputs_cannot_be_told():
    assert meant(TwoInputs(), (USERS, ITEMS), dynamic_axes={"data": {0: "n"}}) is None


def test_a_list_of_axes_becomes_dynamic_dimensions():
    assert meant_shapes((IMAGE,), Convolution(), dynamic_axes={"input": [0, 2], "output": [0]}) == {
        "x": {0: Dim.DYNAMIC, 2: Dim.DYNAMIC}
    }


# --- dynamic_axes, with dynamo=False


def test_the_legacy_exporter_ignores_unknown_names_so_they_are_named():
    options = {"dynamo": False, "dynamic_axes": {"users": {0: "n"}}}
    assert entries(TwoInputs(), (USERS, ITEMS), **options) == ["dynamic_axes['users']"]
    new = meant(TwoInputs(), (USERS, ITEMS), **options)
    assert graph_shapes(TwoInputs(), (USERS, ITEMS), dynamo=False, **new)["users"] == ["n", 3]


def test_a_typo_in_legacy_axes_goes_to_the_nearest_name():
    options = {
        "dynamic_axes": {"imgae": {0: "n"}, "out": {0: "n"}},
        "input_names": ["image"],
        "output_names": ["out"],
    }
    assert meant(Convolution(), (IMAGE,), dynamo=False, **options)["dynamic_axes"] == {
        "image": {0: "n"},
        "out": {0: "n"},
    }


@pytest.mark.parametrize("index", [7, -1])
def test_an_index_that_kills_the_legacy_exporter_is_seen_before(index):
    options = {"dynamic_axes": {"image": {index: "n"}}, "input_names": ["image"]}
    assert entries(Convolution(), (IMAGE,), dynamo=False, **options) == [
        f"dynamic_axes['image'][{index}]"
    ]


def test_names_as_a_tuple_beside_dynamic_axes_become_a_list():
    options = {"dynamic_axes": {"image": {0: "n"}}, "input_names": ("image",)}
    assert entries(Convolution(), (IMAGE,), dynamo=False, **options) == ["input_names"]
    assert meant(Convolution(), (IMAGE,), dynamo=False, **options)["input_names"] == ["image"]


def test_dynamic_shapes_with_the_legacy_exporter_become_axes():
    options = {"dynamic_shapes": {"users": {0: Dim("n")}, "items": None}}
    assert entries(TwoInputs(), (USERS, ITEMS), dynamo=False, **options) == ["dynamic_shapes"]
    new = meant(TwoInputs(), (USERS, ITEMS), dynamo=False, **options)
    assert new["dynamic_axes"] == {"users": {0: "n"}}
    assert graph_shapes(TwoInputs(), (USERS, ITEMS), dynamo=False, **new)["users"] == ["n", 3]


# --- dynamic_shapes: what the entries stand for


def test_misspelt_keys_go_to_the_nearest_argument():
    problem, _ = found(
        TwoInputs(), (USERS, ITEMS), dynamic_shapes={"user": {0: "n"}, "item": {0: "m"}}
    )
    assert str(problem) == "dynamic_shapes['user']: no argument of forward; expected 'users'"
    assert meant_shapes(dynamic_shapes={"user": {0: "n"}, "item": {0: "m"}}) == {
        "users": {0: "n"},
        "items": {0: "m"},
    }


def test_keys_that_are_all_wrong_go_by_order():
    assert meant_shapes(dynamic_shapes={"a": {0: "n"}, "b": {0: "m"}}) == {
        "users": {0: "n"},
        "items": {0: "m"},
    }


def test_keys_that_are_all_wrong_and_do_not_fit_cannot_be_told():
    assert meant_shapes(dynamic_shapes={"a": {0: "n"}, "b": {3: "m"}}) is None
    assert meant_shapes(dynamic_shapes={"a": {0: "n"}, "b": {0: "m"}, "c": None}) is None


def test_names_from_input_names_are_no_keys():
    options = {"dynamic_shapes": {"image": {0: "n"}}, "input_names": ["image"]}
    assert found(Convolution(), (IMAGE,), **options)[0].found == "a name from input_names"
    assert meant_shapes((IMAGE,), Convolution(), **options) == {"x": {0: "n"}}


@pytest.mark.parametrize(
    ("dynamic_shapes", "entry", "correction"),
    [
        ({"users": {0: "n"}}, "dynamic_shapes['items']", {"users": {0: "n"}, "items": None}),
        (
            {"users": {0: "n"}, "items": None, "mask": None},
            "dynamic_shapes['mask']",
            {"users": {0: "n"}, "items": None},
        ),
        (
            {"users": {0: "n"}, "items": None, "output": {0: "n"}},
            "dynamic_shapes['output']",
            {"users": {0: "n"}, "items": None},
        ),
        (({0: "n"},), "dynamic_shapes", {"users": {0: "n"}, "items": None}),
        (
            {"users": "n", "items": None},
            "dynamic_shapes['users']",
            {"users": {0: "n"}, "items": None},
        ),
        (
            {"users": ("n",), "items": None},
            "dynamic_shapes['users']",
            {"users": {0: "n"}, "items": None},
        ),
        (
            {"users": [0], "items": None},
            "dynamic_shapes['users']",
            {"users": {0: Dim.DYNAMIC}, "items": None},
        ),
        (
            {"users": {"0": "n"}, "items": None},
            "dynamic_shapes['users']['0']",
            {"users": {0: "n"}, "items": None},
        ),
        (
            {"users": {0: True}, "items": None},
            "dynamic_shapes['users'][0]",
            {"users": {0: Dim.DYNAMIC}, "items": None},
        ),
        (
            {"users": {0: Dim}, "items": None},
            "dynamic_shapes['users'][0]",
            {"users": {0: Dim.DYNAMIC}, "items": None},
        ),
        (
            {"users": {-2: "n"}, "items": None},
            "dynamic_shapes['users'][-2]",
            {"users": {0: "n"}, "items": None},
        ),
        (
            {"users": {0: 7}, "items": None},
            "dynamic_shapes['users'][0]",
            {"users": None, "items": None},
        ),
        ({"users": {2: "n"}, "items": None}, "dynamic_shapes['users'][2]", None),
        ({"users": {0: 1.5}, "items": None}, "dynamic_shapes['users'][0]", None),
        ("users", "dynamic_shapes", None),
    ],
)
def test_a_wrong_entry_is_named_and_corrected(dynamic_shapes, entry, correction):
    assert entries(TwoInputs(), (USERS, ITEMS), dynamic_shapes=dynamic_shapes) == [entry]
    assert meant_shapes(dynamic_shapes=dynamic_shapes) == correction


def test_entries_in_another_order_would_swap_the_names():
    (problem,) = found(
        TwoInputs(), (USERS, ITEMS), dynamic_shapes={"items": {0: "m"}, "users": {0: "n"}}
    )
    assert "land on wrong inputs" in problem.found
    assert list(meant_shapes(dynamic_shapes={"items": {0: "m"}, "users": {0: "n"}})) == [
        "users",
        "items",
    ]


def test_keyword_arguments_are_named_in_the_order_of_the_call():
    kwargs = {"items": ITEMS, "users": USERS}
    new = meant(TwoInputs(), (), kwargs, dynamic_shapes={"users": {0: "n"}, "items": {0: "m"}})
    assert list(new["dynamic_shapes"]) == ["items", "users"]
    assert graph_shapes(TwoInputs(), (), kwargs, **new)["users"] == ["n", 3]


def test_the_dimensions_of_the_only_argument_may_have_lost_their_wrapping():
    assert meant_shapes((IMAGE,), Convolution(), dynamic_shapes={0: "n"}) == {"x": {0: "n"}}
    assert meant_shapes((IMAGE,), Convolution(), dynamic_shapes=("n", None, None, None)) == {
        "x": {0: "n"}
    }


def test_one_tensor_for_two_inputs_cannot_have_two_requests():
    shapes = {"users": {0: "n"}, "items": None}
    assert entries(TwoInputs(), (USERS, USERS), dynamic_shapes=shapes) == [
        "dynamic_shapes['items']"
    ]


# --- dynamic_shapes: dimensions


def test_a_max_below_the_example_is_lifted():
    shapes = {"users": {0: Dim("n", min=2, max=3)}, "items": None}
    (problem,) = found(TwoInputs(), (USERS, ITEMS), dynamic_shapes=shapes)
    assert problem.found == "the Dim 'n' with max=3, but the given input has size 4"
    dim = meant_shapes(dynamic_shapes=shapes)["users"][0]
    assert (dim.__name__, dim.min) == ("n", 2)


def test_a_hint_whose_bounds_exclude_the_example_loses_them():
    assert (
        meant_shapes(dynamic_shapes={"users": {0: Dim.DYNAMIC(max=3)}, "items": None})["users"][
            0
        ].max
        is None
    )


def test_one_name_for_two_sizes_becomes_two_names():
    n = Dim("n")
    new = meant(TwoInputs(), (USERS, ITEMS), dynamic_shapes={"users": {0: n}, "items": {0: n}})
    assert graph_shapes(TwoInputs(), (USERS, ITEMS), **new)["items"] == ["n_items", 3]


def test_strings_with_one_name_for_two_sizes_are_seen_though_torch_takes_them():
    (problem,) = found(
        TwoInputs(), (USERS, ITEMS), dynamic_shapes={"users": {0: "n"}, "items": {0: "n"}}
    )
    assert problem.found.startswith("'n', which is 4 at dynamic_shapes['users'][0]")


def test_two_definitions_of_one_dim_become_one():
    shapes = meant_shapes(
        (USERS, USERS + 1),
        dynamic_shapes={"users": {0: Dim("n", max=8)}, "items": {0: Dim("n", max=9)}},
    )
    assert shapes["users"][0] is shapes["items"][0]


@pytest.mark.parametrize(
    ("make", "right"), [(lambda n: n + 1, True), (lambda n: n + 2, False), (lambda n: 2 * n, False)]
)
def test_a_derived_dim_must_hold_for_the_examples(make, right):
    n = Dim("n", max=64)
    assert (
        found(TwoInputs(), (USERS, ITEMS), dynamic_shapes={"users": {0: n}, "items": {0: make(n)}})
        == []
    ) is right


# --- dynamic_shapes: arguments that are no tensors, and containers


def test_a_number_or_none_has_no_dimensions():
    shapes = {"users": {0: "n"}, "items": None, "mask": {0: "n"}, "scale": {0: "k"}}
    args = (USERS, ITEMS, None, 3)
    assert entries(TwoInputs(), args, dynamic_shapes=shapes) == [
        "dynamic_shapes['mask']",
        "dynamic_shapes['scale']",
    ]
    assert meant_shapes(args, dynamic_shapes=shapes) == {
        "users": {0: "n"},
        "items": None,
        "mask": None,
        "scale": None,
    }


def test_names_are_not_read_beside_a_dynamic_number():
    new = meant(Scaled(), (USERS, 3), dynamic_shapes={"x": {0: "n"}, "n": Dim.DYNAMIC})
    assert new["dynamic_shapes"] == {"x": {0: Dim.DYNAMIC}, "n": Dim.DYNAMIC}
    assert isinstance(graph_shapes(Scaled(), (USERS, 3), **new)["x"][0], str)


@pytest.mark.parametrize(
    ("dynamic_shapes", "entry"),
    [
        ({"batch": None, "pair": (None, None)}, "dynamic_shapes['batch']"),
        ({"batch": {"b": {0: "n"}}, "pair": (None, None)}, "dynamic_shapes['batch']"),
        ({"batch": {"a": {0: "n"}}, "pair": [None, None]}, "dynamic_shapes['pair']"),
        ({"batch": {"a": {0: "n"}}, "pair": (None,)}, "dynamic_shapes['pair']"),
        ({"a": {0: "n"}, "pair": (None, None)}, "dynamic_shapes['a']"),
    ],
)
def test_containers_must_be_mirrored(dynamic_shapes, entry):
    args = ({"a": USERS}, (ITEMS, IMAGE))
    assert entries(Nested(), args, dynamic_shapes=dynamic_shapes) == [entry]
    new = meant(Nested(), args, dynamic_shapes=dynamic_shapes)
    assert found(Nested(), args, **new) == []


def test_a_corrected_nested_request_exports():
    args = ({"a": USERS}, (ITEMS, IMAGE))
    new = meant(Nested(), args, dynamic_shapes={"a": {0: "n"}, "pair": [{0: "m"}]})
    assert graph_shapes(Nested(), args, **new)["pair_0"] == ["m", 3]


def test_a_named_tuple_is_mirrored_by_its_own_kind():
    Pair = namedtuple("Pair", "u v")
    shapes = meant_shapes(
        (USERS, Pair(ITEMS, 2)), Scaled(), dynamic_shapes={"x": None, "n": ({0: "n"}, None)}
    )
    assert shapes["n"] == Pair({0: "n"}, None)


@pytest.mark.parametrize(
    "dynamic_shapes", [{"x": None, "extra": {"a": {0: "n"}}}, {"x": None, "a": {0: "n"}}]
)
def test_no_spelling_reaches_what_only_double_star_catches(dynamic_shapes):
    request = Keywords(), (USERS,), {"a": USERS + 1}
    assert "that only ** catches" in found(*request, dynamic_shapes=dynamic_shapes)[0].found
    assert meant(*request, dynamic_shapes=dynamic_shapes) is None


# --- names, single options


def test_a_dict_at_the_end_of_args_holds_keyword_arguments():
    assert make_case(TwoInputs(), (USERS, {"items": ITEMS})).kwargs == {"items": ITEMS}
    with pytest.raises(CaseError, match=r"a further \{\} after it"):
        make_case(Scaled(), (USERS, {"a": ITEMS}))


@pytest.mark.parametrize("dynamo", [True, False])
def test_names_that_do_not_fit(dynamo):
    assert (
        entries(Scaled(), (USERS, 3), dynamo=dynamo, input_names=["a", "a"])
        == ["input_names"] + ["input_names[1:]"] * dynamo
    )
    assert entries(Scaled(), (USERS, 3), dynamo=dynamo, output_names="out") == ["output_names"]
    assert meant(Scaled(), (USERS, 3), dynamo=dynamo, output_names="out") == {
        "output_names": ["out"]
    }


def test_too_many_input_names_are_cut():
    assert meant(Scaled(), (USERS, 3.0), input_names=["a", "b"]) == {"input_names": ["a"]}


@pytest.mark.parametrize(
    ("version", "dynamo", "correction"),
    [
        ("18", True, 18),
        (18.0, True, 18),
        (99, True, onnx.defs.onnx_opset_version()),
        (3, True, None),
        (99, False, 23),
        (True, False, None),
    ],
)
def test_opsets_that_cannot_be_had(version, dynamo, correction):
    assert entries(Scaled(), (USERS, 3), dynamo=dynamo, opset_version=version) == ["opset_version"]
    assert (
        meant(Scaled(), (USERS, 3), dynamo=dynamo, opset_version=version).get("opset_version")
        == correction
    )


def test_translations_must_be_functions_of_operators():
    relu = torch.ops.aten.relu
    table = {relu.default: 3, "aten::relu": abs, relu: abs}
    assert entries(Convolution(), (IMAGE,), custom_translation_table=table) == [
        "custom_translation_table[torch.ops.aten.relu.default]",
        "custom_translation_table['aten::relu']",
        "custom_translation_table[torch.ops.aten.relu]",
    ]


def test_nothing_is_corrected_where_nothing_is_wrong():
    assert meant(Convolution(), (IMAGE,), dynamic_shapes={"x": {0: "n"}}) is None


# --- the call as text


def test_the_call_is_ready_to_paste():
    assert call_text("model", ["x"], {}, {"dynamic_shapes": {"x": {0: "batch_size"}}}) == (
        'torch.onnx.export(model, (x,), dynamic_shapes={"x": {0: "batch_size"}})\n'
    )


def test_dims_stand_above_the_call_and_mean_the_same():
    n = Dim("n", min=2, max=9)
    shapes = {"users": {0: n, 1: Dim.DYNAMIC(max=4)}, "items": [2 * n + 1, None]}
    text = call_text(
        "net",
        ["users", "n"],
        {"mask": "mask"},
        {"dynamic_shapes": shapes, "f": "a.onnx", "dynamo": True},
    )
    *head, call = ast.parse(text).body
    scope: dict[str, object] = {}
    exec(compile(ast.Module(head, []), "text", "exec"), scope)
    value = next(word.value for word in call.value.keywords if word.arg == "dynamic_shapes")
    assert repr(eval(ast.unparse(value), scope)) == repr(shapes)


def test_what_has_no_source_is_left_to_fill_in():
    table = {torch.ops.aten.relu.default: lambda x: x}
    text = call_text("model", ["x"], {}, {"custom_translation_table": table})
    assert "{torch.ops.aten.relu.default: ...}" in text
    ast.parse(text)


# --- properties

odd = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 9)
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from([Dim("n"), Dim.AUTO, Dim, USERS]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["users", "items", 0, 1, -1]), inner, max_size=3)
    ),
    max_leaves=6,
)
option_names = [
    "dynamic_shapes",
    "dynamic_axes",
    "input_names",
    "output_names",
    "opset_version",
    "custom_translation_table",
    "dynamic",
]


@given(st.dictionaries(st.sampled_from(option_names), odd), odd, odd, st.booleans())
@settings(max_examples=200, deadline=None)
def test_odd_requests_never_raise(options, args, kwargs, dynamo):
    for call in ((args, kwargs), ((USERS, ITEMS), {})):
        found(TwoInputs(), *call, dynamo=dynamo, **options)
        new = meant(TwoInputs(), *call, dynamo=dynamo, **options)
        assert new is None or found(TwoInputs(), *call, dynamo=dynamo, **new) == []
    ast.parse(call_text("model", ["x"], {}, options))


def mirrored(value):
    """Requests that torch accepts for this argument."""
    if isinstance(value, dict):
        return st.fixed_dictionaries({key: mirrored(child) for key, child in value.items()})
    if isinstance(value, tuple):
        return st.tuples(*map(mirrored, value))
    if not isinstance(value, torch.Tensor):
        return st.none()
    dims = [
        st.sampled_from(
            [None, size, Dim(f"d{size}"), Dim.AUTO, Dim.DYNAMIC, Dim.DYNAMIC(min=1, max=64)]
        )
        for size in value.shape
    ]
    return st.none() | st.tuples(*dims) | st.fixed_dictionaries({}, optional=dict(enumerate(dims)))


CALLS = [
    (TwoInputs(), {"users": USERS, "items": ITEMS}),
    (TwoInputs(), {"users": USERS, "items": ITEMS, "mask": None, "scale": 3}),
    (
        Nested(),
        {"batch": {"a": USERS}, "pair": (ITEMS, torch.randn(4, 2, 6))},
    ),  # torch.export fixes sizes 0 and 1
]


@given(st.data(), st.sampled_from(CALLS))
@settings(
    max_examples=40, deadline=None, phases=[Phase.generate]
)  # an export is too slow to shrink by
def test_what_torch_export_accepts_has_no_problems(data, call):
    model, arguments = call
    shapes = {
        name: data.draw(mirrored(value)) for name, value in arguments.items()
    }  # in the order of the call
    torch.export.export(model, tuple(arguments.values()), dynamic_shapes=shapes, strict=False)
    assert found(model, tuple(arguments.values()), dynamic_shapes=shapes) == []
    assert found(model, tuple(arguments.values()), dynamic_shapes=tuple(shapes.values())) == []
