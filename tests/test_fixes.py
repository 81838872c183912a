"""Fixes: proposed by what failed, composed, tried on the whole case, and never shown otherwise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.nn.utils import parametrizations

import onnx_debug
from onnx_debug.data.stage import Verdict
from onnx_debug.render.page.tree import states
from onnx_debug.request.case import make_case
from onnx_debug.session.fixes import blockers
from onnx_debug.session.fixes.change import Change, Cost
from onnx_debug.session.fixes.families import call, operators
from onnx_debug.session.fixes.families import model as model_family
from onnx_debug.session.fixes.families.control_flow import chosen_by_where, without_int
from onnx_debug.session.fixes.rewrite import NoRewriteError
from onnx_debug.session.fixes.write import code_of

pytestmark = pytest.mark.fixes
X = torch.randn(3, 8)


class Gate(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x * 2
        return x - 1


class Running(nn.Module):
    def forward(self, x):
        return torch.cummax(x, -1).values


class Counts(nn.Module):
    """ONNX Runtime has no Relu on integers."""

    def forward(self, x):
        return x + torch.relu((x > 0).sum(-1, keepdim=True) - 2)


def raising(_, args, output):
    if bool((output[0] > 1e6).any()):
        raise ValueError("too large")


def hooked():
    made = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    made[1].register_forward_hook(raising)
    return made


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


class Sparse(nn.Module):
    def forward(self, x):
        return torch.sparse.mm((x @ x.T).to_sparse(), x)


class Cancels(nn.Module):
    """In half precision little is left of the difference but rounding."""

    def forward(self, x):
        h = (x + 30).half()
        return ((h * h).mean(1) - h.mean(1) ** 2).float()


class Guards(nn.Module):
    def forward(self, x):
        if x.isnan().any():
            raise ValueError("NaN")
        return x * 2


class SizeBranch(nn.Module):
    """Both ways of the branch give the same."""

    def forward(self, x):
        rows = x[x[:, 0] > -9]
        if rows.shape[0] > 2:
            return torch.cat([rows[:1] * 2, rows[1:] * 2])
        return rows * 2


CASES = {
    "noise": (lambda: Noisy(), {}, "random numbers inputs"),
    "sparse": (lambda: Sparse(), {}, "dense tensors"),
    "half precision": (lambda: Cancels(), {}, "in float64"),
    "guard": (lambda: Guards(), {}, "leave the check out"),
    "size": (lambda: SizeBranch(), {}, "for False"),
    "branch": (lambda: Gate(), {}, "torch.where"),
    "operator": (lambda: Running(), {}, "decompose aten::cummax"),
    "no kernel": (lambda: Counts(), {}, "decompose aten::relu"),
    "hook": (hooked, {}, "remove the hooks"),
    "parametrization": (
        lambda: parametrizations.orthogonal(nn.Linear(8, 8)),
        {},
        "parametrizations",
    ),
    "traced branch": (lambda: Gate(), {"dynamo": False}, "torch.where"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fix_is_found_and_the_model_stays_as_it_is(name):
    make, options, title = CASES[name]
    model = nn.Sequential(nn.Linear(8, 8), make()).eval()
    before = [name for name, _ in model.named_parameters()]
    found = onnx_debug.diagnose(model, (X,), **options)
    assert found.failure is not None
    fix = next(fix for fix in found.fixes if title in fix.title)
    assert all(fix.outcome.ok for fix in found.fixes)
    assert [name for name, _ in model.named_parameters()] == before
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert fix.diff or "torch.onnx.export(" in fix.code


@pytest.mark.parametrize("dynamic", [False, True])
def test_blockers_of_three_kinds_are_fixed_together(dynamic):
    model = nn.Sequential(nn.Linear(8, 8), Gate(), Running(), Counts()).eval()
    shapes = {"dynamic_shapes": {"input": {0: Dim("rows")}}} if dynamic else {}
    found = onnx_debug.diagnose(model, (X,), **shapes)
    assert {culprit.fqn for culprit in found.culprits} == {"1", "2", "3"}
    fix = found.fixes[0]
    assert "torch.where" in fix.title
    assert "aten::cummax" in fix.title
    assert "aten::relu" in fix.title
    assert "def cummax" in fix.code
    assert "-        if x.sum() > 0:" in fix.diff
    if dynamic:
        assert any(row.works for row in fix.outcome.asked)


def test_the_cell_that_is_shown_exports():
    model = nn.Sequential(nn.Linear(8, 8), Running()).eval()
    (fix,) = onnx_debug.diagnose(model, (X,), dynamic_shapes={"input": {0: Dim("rows")}}).fixes
    cell = fix.code.replace('f="model.onnx"', "verbose=False")
    names = {"model": model, "input": X}
    exec(cell.replace("torch.onnx.export(", "program = torch.onnx.export("), names)
    got = names["program"](torch.ones(5, 8))[0]
    assert torch.allclose(got, model(torch.ones(5, 8)), atol=1e-5)


@dataclass(frozen=True)
class Lies(Change):
    """Makes the model export, and answer wrongly."""

    title = "lie"
    explanation = "It helps nobody."
    cost = Cost.CALL

    def apply(self, case):
        case.model[1] = nn.Identity()
        return case


def test_what_exports_with_other_numbers_is_no_fix(monkeypatch):
    monkeypatch.setattr(blockers.operators, "proposals", lambda *_: [Lies()])
    monkeypatch.setattr(blockers.model, "proposals", lambda *_: [])
    monkeypatch.setattr(blockers.call, "proposals", lambda *_: [])
    found = onnx_debug.diagnose(nn.Sequential(nn.Linear(8, 8), Running()).eval(), (X,))
    assert found.fixes == ()
    (tried,) = [step for step in found.trials if "lie" in step.why]
    assert "max difference" in tried.message


def test_where_one_blocker_is_left_it_is_said_how_far_the_others_get_the_export(monkeypatch):
    monkeypatch.setattr(blockers.control_flow, "proposals", lambda *_: [])
    model = nn.Sequential(nn.Linear(8, 8), Running(), Gate()).eval()
    found = onnx_debug.diagnose(model, (X,))
    assert {culprit.fqn for culprit in found.culprits} == {"1", "2"}
    assert found.fixes == ()
    assert "cummax" in found.part_way.title
    assert found.part_way.failure.clues[0].fqn == "2"
    assert "Further, no fix: decompose aten::cummax" in str(found)


class Masked(nn.Module):
    """Makes a mask in eager only, as libraries do."""

    def forward(self, ids, attention_mask=None):
        if attention_mask is None and not torch.compiler.is_compiling():
            attention_mask = torch.ones_like(ids)
        return ids * 2 + attention_mask.sum(-1, keepdim=True)


def test_a_mask_that_is_made_in_eager_only_is_passed():
    ids = torch.ones(2, 5, dtype=torch.long)
    (fix,) = onnx_debug.diagnose(Masked().eval(), (ids,)).fixes
    assert fix.title == "pass attention_mask"
    assert "attention_mask = torch.ones_like(ids)" in fix.code
    assert '"attention_mask": attention_mask' in fix.code


class Rising(nn.Module):
    def forward(self, x):
        return x.cummax(-1).values


class FollowsTheExample(Lies):
    """Changes the class in place, and is right on the given inputs alone."""

    title = "follow the example"

    def apply(self, case):
        answer = case.model(*case.args)
        Rising.forward = lambda self, x: x * 0 + answer
        return case


def test_the_unchanged_model_answers_on_other_values_though_the_change_is_made_in_place(
    monkeypatch,
):
    monkeypatch.setattr(blockers.operators, "proposals", lambda *_: [FollowsTheExample()])
    monkeypatch.setattr(blockers.model, "proposals", lambda *_: [])
    monkeypatch.setattr(blockers.call, "proposals", lambda *_: [])
    found = onnx_debug.diagnose(nn.Sequential(nn.Identity(), Rising()).eval(), (X,))
    assert found.fixes == ()
    (tried,) = [step for step in found.trials if step.changed]
    assert "on other inputs" in tried.message


def test_a_trace_that_freezes_a_branch_is_no_fix(monkeypatch):
    monkeypatch.setattr(blockers.control_flow, "proposals", lambda *_: [])
    found = onnx_debug.diagnose(nn.Sequential(nn.Linear(8, 8), Gate()).eval(), (X,))
    assert found.fixes == ()
    (tried,) = [step for step in found.trials if "dynamo=False" in step.why]
    assert "keeps a branch" in tried.message


def test_culprits_are_told_before_the_first_fix_is_tried():
    heard = []
    onnx_debug.diagnose(
        nn.Sequential(nn.Linear(8, 8), Running()).eval(), (X,), on_event=heard.append
    )
    kinds = [type(event).__name__ for event in heard]
    first = next(i for i, e in enumerate(heard) if "try to" in getattr(e, "why", ""))
    assert "CulpritFound" in kinds[:first]


def test_a_changed_case_that_passes_says_nothing_about_the_modules():
    model = nn.Sequential(nn.Linear(8, 8), Running()).eval()
    found = onnx_debug.diagnose(model, (X,))
    (fixed,) = [step for step in found.trials if step.changed]
    assert (fixed.answer, fixed.module) == (Verdict.PASSED, "")
    alone = replace(found, trials=(fixed,), culprits=(), sufficient=None)
    assert states(alone) == {}


@torch.library.custom_op("onnx_debug_tests::tripled", mutates_args=())
def tripled(x: torch.Tensor) -> torch.Tensor:
    return x * 3


@tripled.register_fake
def _(x):
    return torch.empty_like(x)


class Custom(nn.Module):
    def forward(self, x):
        return tripled(x)


def test_a_custom_operator_is_exported_as_its_own_python_by_the_cell_that_is_shown():
    model = nn.Sequential(nn.Linear(8, 8), Custom()).eval()
    (fix,) = onnx_debug.diagnose(model, (X,)).fixes
    names = {"model": model, "input": X, "tripled": tripled, "torch": torch}
    exec(
        fix.code.replace(
            'torch.onnx.export(program, f="model.onnx"',
            "program = torch.onnx.export(program, verbose=False",
        ),
        names,
    )
    assert torch.allclose(names["program"](X)[0], model(X), atol=1e-5)


def test_without_fixes_none_is_tried():
    model = nn.Sequential(nn.Linear(8, 8), Running()).eval()
    for options in ({"fixes": False}, {"isolate": False}):
        found = onnx_debug.diagnose(model, (X,), **options)
        assert found.fixes == ()
        assert not [step for step in found.trials if "try to" in step.why]


def test_a_stop_among_the_fixes_keeps_what_was_found():
    def hear(event):
        if "try to" in getattr(event, "why", ""):
            session.stop()

    model = nn.Sequential(nn.Linear(8, 8), Running()).eval()
    with onnx_debug.Session(model, (X,), on_event=hear) as session:
        found = session.run()
    assert [culprit.fqn for culprit in found.culprits] == ["1"]
    assert found.fixes == ()
    assert session.finished


class Pair:
    def __init__(self, first, second):
        self.first, self.second = first, second


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Returns(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.linear, self.make = nn.Linear(8, 8), make

    def forward(self, x):
        return self.make(self.linear(x)), x + 1


def test_an_object_with_tensors_is_taken_apart_around_the_model():
    model = Returns(lambda y: Pair(y, [y * 2, None]))
    model.train()
    (fix,) = onnx_debug.diagnose(model, (X,)).fixes
    assert "compared with the changed model" in fix.explanation
    names = {"model": model, "x": X}
    exec(fix.code.partition("torch.onnx.export(")[0], names)
    assert [tuple(one.shape) for one in names["model"](X)] == [(3, 8)] * 3
    assert model.training
    assert names["model"].training


def test_an_object_that_hides_its_tensors_gets_no_fix():
    assert onnx_debug.diagnose(Returns(Slotted).eval(), (X,)).fixes == ()


def test_two_changes_of_one_export_are_written_as_one():
    case = make_case(nn.Sequential(nn.Linear(8, 8), Running()).eval(), (X,))
    decompose = operators.Decompose(("aten::cummax.default",))
    code = code_of(case, (call.StrictCapture(), decompose))
    assert code.count("torch.export.export(") == code.count("torch.onnx.export(") == 1
    assert "strict=True" in code
    assert "def cummax" in code


class Net(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config


def test_switches_are_found_on_the_configuration():
    class Config:
        use_cache = True

    model = Net(Config())
    model_family.Prepare("leave the cache out (use_cache=False)").apply(
        type("Case", (), {"model": model})
    )
    assert model.config.use_cache is False


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("if c > 0:\n  return a\nelse:\n  return b", "return torch.where(c > 0, a, b)"),
        ("if c.any().item():\n  x = a", "x = torch.where(c.any(), a, x)"),
        ("if bool(c):\n  x = a\nelse:\n  x = b", "x = torch.where(c, a, b)"),
        ("if not c:\n  x += 1", "x = torch.where(torch.logical_not(c), x + 1, x)"),
        ("x = a if c and d else b", "x = torch.where(torch.logical_and(c, d), a, b)"),
        ("if int(c.mean()) > 0:\n  x = a", "x = torch.where(int(c.mean()) > 0, a, x)"),
        ("if float(c.mean()) < 2:\n  return a\nreturn b", "return torch.where(c.mean() < 2, a, b)"),
    ],
)
def test_a_branch_becomes_a_choice(before, after):
    text = "def f(c, d, a, b, x):\n" + "".join(f"    {line}\n" for line in before.split("\n"))
    assert chosen_by_where(text, 2).splitlines()[1].strip() == after


@pytest.mark.parametrize(
    "body",
    ["if c:\n  x = a\n  y = b", "if c:\n  raise ValueError", "if c:\n  x = a\nelse:\n  y = b"],
)
def test_a_branch_that_does_more_is_left_alone(body):
    text = "def f(c, a, b):\n" + "".join(f"    {line}\n" for line in body.split("\n"))
    with pytest.raises(NoRewriteError):
        chosen_by_where(text, 2)


def test_int_is_left_out_and_the_rest_of_the_line_stays():
    text = "def f(x):\n    return x.view(int(x.shape[0]), -1)  # rows\n"
    assert without_int(text, 2) == "def f(x):\n    return x.view(x.shape[0], -1)  # rows\n"
    assert without_int("def f(n):\n    return int(n + 1) * 2\n", 2).endswith("(n + 1) * 2\n")


def test_whole_numbers_leave_the_buffers_but_for_the_counters_of_batch_norm():
    model = nn.Sequential(nn.BatchNorm1d(8))
    model.register_buffer("amount", torch.tensor(2))
    model_family.Prepare("keep whole numbers as Python numbers").apply(
        type("Case", (), {"model": model})
    )
    assert (model.amount, type(model.amount)) == (2, int)
    assert model[0].num_batches_tracked.dim() == 0
