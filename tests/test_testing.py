"""`assert_exports` fails with the diagnosis, and pytest saves it as a page when asked."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from importlib import import_module
from pathlib import Path

import pytest
import torch

from onnx_debug.frontends import pytest_plugin
from onnx_debug.testing import ExportAssertionError, assert_exports
from tests import samples

ROOT = Path(__file__).parent.parent
SUITE = """
import os
import pytest
from onnx_debug.testing import ExportAssertionError
from tests import samples

@pytest.mark.parametrize("name", ["a/b", "a b"])
def test_model(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raise ExportAssertionError(samples.three())

def test_arithmetic():
    assert 1 + 1 == 3

def test_fine():
    pass
"""


class Gate(torch.nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(3, 3)
        self.gate = Gate()

    def forward(self, x):
        return self.gate(self.inner(x))


def run_pytest(folder, *options):
    """A test run of its own, with our plugin and no other."""
    environment = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(ROOT),
    }
    (folder / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-p", pytest_plugin.__name__, *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_model_that_exports_is_answered_with_its_diagnosis():
    d = assert_exports(torch.nn.Linear(3, 2), (torch.ones(2, 3),))
    assert d.ok


def test_the_failure_is_the_diagnosis_and_nothing_else():
    with pytest.raises(AssertionError) as caught:
        assert_exports(Model(), (torch.ones(2, 3),), dynamo=True)
    d = caught.value.diagnosis
    assert [one.fqn for one in d.culprits] == ["gate"]
    assert str(caught.value) == str(d)
    assert str(d).startswith("✗ ")


def test_what_nobody_knows_is_no_success(engine):
    engine.answer = samples.unresolved()
    with pytest.raises(ExportAssertionError, match=r"^\?"):
        assert_exports("model")


def test_ctrl_c_ends_the_test_run(engine):
    engine.answer = samples.stopped()
    with pytest.raises(KeyboardInterrupt):
        assert_exports("model")


def test_arguments_and_options_are_passed_on(engine):
    assert_exports("model", (1,), {"y": 2}, opset_version=18, fixes=False)
    (asked,) = engine.asked
    assert (asked.model, asked.args, asked.kwargs) == ("model", (1,), {"y": 2})
    assert asked.rest == {"opset_version": 18, "fixes": False}


def test_each_failing_diagnosis_is_saved_and_named(tmp_path):
    ran = run_pytest(tmp_path, "--onnx-debug-reports", "pages", "--junit-xml", "junit.xml")
    pages = sorted((tmp_path / "pages").iterdir())
    assert len(pages) == 2
    assert all("blocks.10.extra" in page.read_text() for page in pages)
    assert all(str(page) in ran.stdout for page in pages)
    named = ET.parse(tmp_path / "junit.xml").iterfind(".//property[@name='onnx_debug_report']")
    assert sorted(one.get("value") for one in named) == [str(page) for page in pages]
    assert "3 failed, 1 passed" in ran.stdout


def test_pytest_shows_the_diagnosis_and_not_our_own_code(tmp_path):
    ran = run_pytest(tmp_path, "-k", "a/b")
    shown = [line.removeprefix("E").strip() for line in ran.stdout.splitlines() if line[:1] == "E"]
    said = [line.strip() for line in str(samples.three()).splitlines()]
    assert shown == [f"onnx_debug.testing.ExportAssertionError: {said[0]}", *said[1:]]
    assert "onnx_debug report" not in ran.stdout


def test_a_folder_that_cannot_be_made_does_not_end_the_run(tmp_path):
    (tmp_path / "taken").touch()
    ran = run_pytest(tmp_path, "--onnx-debug-reports", "taken")
    assert "The report could not be saved: " in ran.stdout
    assert "3 failed, 1 passed" in ran.stdout


def test_pytest_finds_the_plugin_and_loads_no_torch():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    name = project["entry-points"]["pytest11"]["onnx_debug"]
    assert import_module(name) is pytest_plugin
    script = (
        f"import sys, {name}; sys.exit(bool({{'torch', 'IPython', 'numpy'}} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
