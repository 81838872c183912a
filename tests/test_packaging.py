"""What the package promises before anything is called."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

import onnx_debug
from tests import samples

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "onnx_debug"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
)


def test_importing_it_is_cheap():
    loaded = "import sys, onnx_debug; print(sorted({'torch', 'IPython', 'onnx', 'ipywidgets', 'numpy'} & set(sys.modules)))"
    assert (
        subprocess.run(
            [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_a_stored_diagnosis_is_drawn_without_torch_and_without_a_notebook(tmp_path):
    stored = tmp_path / "d.json"
    stored.write_text(json.dumps(samples.three().to_dict()))
    script = f"""
        import json, sys, onnx_debug
        d = onnx_debug.Diagnosis.from_dict(json.load(open({str(stored)!r})))
        print(d)
        d.save_html({str(tmp_path / "d.html")!r})
        sys.exit(bool({{"torch", "IPython", "ipywidgets", "onnxruntime"}} & set(sys.modules)))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)
    assert (tmp_path / "d.html").stat().st_size > 10_000


@pytest.mark.parametrize("name", onnx_debug.__all__)
def test_public_names_are_there(name):
    assert getattr(onnx_debug, name).__module__.startswith("onnx_debug")
    assert name in dir(onnx_debug)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        _ = onnx_debug.nope


def test_versions_agree():
    assert PROJECT["version"] == onnx_debug.__version__
    assert PINS["torch"] == "2.13.0"


def test_every_dependency_is_pinned_for_the_checks():
    extras = PROJECT["optional-dependencies"]
    wanted = [
        *PROJECT["dependencies"],
        *extras["demo"],
        *(name for name in extras["dev"] if not name.startswith("onnx-debug")),
    ]
    assert not [name for name in wanted if name.partition(">=")[0] not in PINS]


def test_every_file_that_the_architecture_page_names_is_there():
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.py)?)`", page))
    assert len(named) > 30
    assert not [name for name in named if not any((at / name).exists() for at in (ROOT, PACKAGE))]


def test_the_package_has_few_entries_and_every_folder_says_what_it_holds():
    # py.typed is an empty marker for type checkers: a reader of the package has nothing to look up in it.
    nothing_to_read = {"__pycache__", "py.typed"}
    entries = [entry for entry in PACKAGE.iterdir() if entry.name not in nothing_to_read]
    assert len(entries) <= 14
    for folder in filter(Path.is_dir, entries):
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
