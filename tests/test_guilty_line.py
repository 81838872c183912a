"""The line to blame, where neither a name of a file nor of a function may mislead, and where no exception names it."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
import textwrap

import pytest
import torch
from torch import nn

import onnx_debug
from onnx_debug.explain.installed import is_library
from onnx_debug.render.text import render
from onnx_debug.render.words import guilty_lines

LEGACY = {"dynamo": False, "opset_version": 17}


def after_a_layer(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), module).eval()


class InnerBranch(nn.Module):
    """Its method has the name of a function of torch's, around a call of a module."""

    def inner(self, x):
        if x.sum() > 0:
            return x
        return x * 2

    def forward(self, x):
        return self.inner(x)


class Halves(nn.Module):
    """A comprehension is a function of its own, on the same line."""

    def forward(self, x):
        return torch.stack([part for part in x if part.sum() > 0])


class _Folded(torch.autograd.Function):
    @staticmethod
    def symbolic(g, x):
        return g.op("Identity", x)

    @staticmethod
    def forward(ctx, x):
        return torch.zeros(x.shape)


class FoldedForExport(nn.Module):
    """During an export a function with a forward for show takes the layer's place, as quantisation libraries do."""

    def __init__(self) -> None:
        super().__init__()
        self.core = nn.Linear(4, 4)

    def forward(self, x):
        if torch.onnx.is_in_onnx_export():
            return _Folded.apply(x)
        return self.core(x)


class StopsEarly(nn.Module):
    """A trace keeps as many steps as the example took; the layer inside is fine."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(4, 4)

    def forward(self, x):
        for _ in range(4):
            x = self.step(x) + 1
            if x.mean() > 1.5:
                break
        return x


class WritesSelected(nn.Module):
    """The old exporter writes a graph that ONNX Runtime refuses to run."""

    def forward(self, x):
        table = torch.zeros(x.shape[0], 2)
        kept = x[:, 0] > 0
        table[kept, 0] = x[kept, 0]
        return table


def test_a_method_called_as_one_of_torch_s_has_its_line():
    found = onnx_debug.diagnose(after_a_layer(InnerBranch()), (torch.randn(2, 4),))
    assert found.culprits[0].source.text == "if x.sum() > 0:"


@pytest.mark.parametrize("folder", ["torch", "onnx_debug", "functorch"])
def test_user_code_in_a_folder_with_a_library_s_name_has_its_line(tmp_path, folder, monkeypatch):
    file = tmp_path / folder / "branching.py"
    file.parent.mkdir()
    source = """
        from torch import nn
        class Branch(nn.Module):
            def forward(self, x):
                if x.sum() > 0:
                    return x
                return x * 2
    """
    file.write_text(textwrap.dedent(source))
    spec = importlib.util.spec_from_file_location(f"branching_{folder}", file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    found = onnx_debug.diagnose(after_a_layer(module.Branch()), (torch.randn(2, 4),))
    assert found.culprits[0].source.text == "if x.sum() > 0:"


@pytest.mark.parametrize(
    ("file", "library"),
    [
        (torch.__file__, True),
        (onnx_debug.__file__, True),
        (contextlib.__file__, True),
        ("<string>", True),
        ("<eval_with_key>.3", True),
        ("<ipython-input-3-0123>", False),
        (pytest.__file__, False),
        ("/home/someone/torch/onnx_debug/model.py", False),
    ],
)
def test_where_a_package_is_installed_says_whose_a_file_is(file, library):
    assert is_library(file) is library


def test_a_comprehension_s_line_stands_once():
    found = onnx_debug.diagnose(after_a_layer(Halves()), (torch.randn(2, 4),))
    (clue,) = [clue for clue in found.culprits[0].failure.clues if clue.fqn == "1"]
    assert "if part.sum() > 0" in clue.source.text
    assert clue.source.line not in [source.line for source in clue.below]


def test_an_output_that_became_a_constant_is_said_and_found_in_a_few_trials():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(FoldedForExport(), nn.ReLU())).eval()
    found = onnx_debug.diagnose(model, (torch.randn(2, 4),))
    (culprit,) = found.culprits
    assert (culprit.fqn, culprit.own_code) == ("1.0", True)
    assert culprit.source.text == "return _Folded.apply(x)"
    assert "became a constant" in culprit.reason
    assert len(found.trials) <= 5


def test_a_frozen_break_is_to_blame_and_not_the_layer_in_the_loop():
    inputs = torch.full((2, 4), 9.0)
    found = onnx_debug.diagnose(
        after_a_layer(StopsEarly()), (inputs,), check_inputs=[(-inputs,)], **LEGACY
    )
    (culprit,) = found.culprits
    assert (culprit.fqn, culprit.own_code) == ("1", True)
    assert culprit.source.text == "if x.mean() > 1.5:"


def test_a_file_of_the_old_exporter_that_does_not_run_has_its_line():
    found = onnx_debug.diagnose(after_a_layer(WritesSelected()), (torch.randn(3, 4),), **LEGACY)
    assert found.culprits[0].fqn == "1"
    assert found.culprits[0].source.text == "table[kept, 0] = x[kept, 0]"


class AsksForWidth(nn.Module):
    def forward(self, x):
        if x.shape[1] != 5:
            raise AssertionError
        return x


def test_an_empty_assertion_in_eager_shows_the_line_and_the_sizes_that_broke_it():
    found = onnx_debug.diagnose(after_a_layer(AsksForWidth()), (torch.randn(2, 4),))
    text = render(found)
    assert "AssertionError [" in text.splitlines()[0]
    assert "raise AssertionError" in text
    assert "x float32[2, 4]" in text


def test_an_operator_of_a_later_opset_is_said_to_need_that_opset():
    model = after_a_layer(nn.Unflatten(1, (2, 2)))
    found = onnx_debug.diagnose(model, (torch.randn(2, 4),), dynamo=False, opset_version=11)
    assert found.failure.known_from == 13


def _louder(x):
    if x.mean() > 1.5:
        return x * 2
    return x


class AsksAHelper(nn.Module):
    """A trace warns of the helper's line, which is no module's own."""

    def forward(self, x):
        return _louder(x)


def test_a_branch_that_tracing_froze_in_a_helper_leads_from_the_module_to_the_helper():
    inputs = torch.full((2, 4), 9.0)
    model = nn.Sequential(AsksAHelper(), nn.Linear(4, 4)).eval()
    found = onnx_debug.diagnose(model, (inputs,), check_inputs=[(-inputs,)], **LEGACY)
    (culprit,) = found.culprits
    lines = [line.text for line in guilty_lines(culprit)]
    assert culprit.fqn == "0"
    assert lines == ["return _louder(x)", "if x.mean() > 1.5:"]


def _by_qr(self, x):
    return x + torch.linalg.qr(x)[0].sum()


def _dispatched(kind):
    """Libraries choose at run time which function computes a layer."""
    original = kind.forward

    @functools.wraps(original)
    def forward(self, x):
        return _by_qr(self, x)

    kind.forward = forward
    return kind


@_dispatched
class Dispatched(nn.Module):
    def forward(self, x):
        return x


@pytest.mark.parametrize("options", [{}, LEGACY])
def test_a_line_that_only_dispatches_leads_on_to_the_operator(options):
    found = onnx_debug.diagnose(after_a_layer(Dispatched()), (torch.randn(4, 4),), **options)
    lines = [line.text for line in guilty_lines(found.culprits[0])]
    assert found.culprits[0].fqn == "1"
    assert lines == ["return _by_qr(self, x)", "return x + torch.linalg.qr(x)[0].sum()"]
