"""The file at the user's own path: what torch would have written, or what stood there before, never half of it."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

import pytest
import torch
from torch import nn

import onnx_debug
from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.events import TrialFinished
from tests import zoo
from tests.test_isolation import LEGACY

LARGE = nn.Linear(1000, 1000).eval()  # 4 MB of weights
GIVEN = torch.ones(1, 1000)


@contextlib.contextmanager
def files_up_to(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def export(f, *, model=LARGE, given=GIVEN, **options) -> Diagnosis:
    return onnx_debug.diagnose(model, given, f=f, **{**LEGACY, **options})


@pytest.mark.parametrize(
    "options",
    [LEGACY, {}, {"external_data": False}, {"dynamo": True, "optimize": False}],
    ids=["legacy", "external", "one file", "plain"],
)
@pytest.mark.parametrize("make", [zoo.Stack, lambda: LARGE], ids=["small", "large"])
def test_it_is_byte_by_byte_what_torch_writes(tmp_path, options, make):
    model, given = (
        make().eval(),
        torch.ones(2, 1000) if make is not zoo.Stack else torch.ones(2, 5, 8),
    )
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    assert onnx_debug.diagnose(model, given, f=tmp_path / "ours" / "m.onnx", **options).ok
    torch.onnx.export(model, (given,), tmp_path / "theirs" / "m.onnx", verbose=False, **options)
    ours, theirs = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("ours", "theirs")
    )
    assert ours == theirs


def test_a_full_disk_leaves_what_stood_there(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"precious")
    limits = contextlib.ExitStack()
    with limits:
        found = onnx_debug.diagnose(
            LARGE,
            GIVEN,
            f=path,
            on_event=lambda event: (
                isinstance(event, TrialFinished) and limits.enter_context(files_up_to(1_000_000))
            ),
        )
    assert found.ok
    assert "cannot be written to" in found.unwritten
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("isolate", [True, False])
def test_a_full_temporary_disk_is_no_fault_of_the_model(isolate):
    with files_up_to(1_000_000):
        found = onnx_debug.diagnose(LARGE, GIVEN, isolate=isolate, **LEGACY)
    assert not found.ok
    assert not found.culprits
    assert "No space is left for temporary files" in found.notes[-1]


def test_links_modes_and_devices_stay(tmp_path):
    real, link = tmp_path / "real.onnx", tmp_path / "link.onnx"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to(real)
    assert export(link).ok
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert len(real.read_bytes()) > 4_000_000
    assert export(os.devnull).ok
    assert Path(os.devnull).is_char_device()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.onnx", "real.onnx"]


def test_a_new_file_has_the_usual_mode(tmp_path):
    before = os.umask(0o027)
    try:
        assert export(tmp_path / "new.onnx").ok
    finally:
        os.umask(before)
    assert (tmp_path / "new.onnx").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "make",
    [lambda place: place, lambda place: place / "missing" / "m.onnx"],
    ids=["directory", "missing"],
)
def test_a_place_that_cannot_be_written_to_is_said(tmp_path, make):
    found = export(make(tmp_path))
    assert found.ok
    assert str(tmp_path) in found.unwritten
    assert "Nothing was written" in str(found)
    assert not list(tmp_path.iterdir())


def test_a_closed_stream_is_said(tmp_path):
    stream = (tmp_path / "m.onnx").open("wb")
    stream.close()
    found = export(stream)
    assert found.ok
    assert "cannot be written to" in found.unwritten


def test_a_success_says_what_was_written(tmp_path):
    target = tmp_path / "model.onnx"
    found = onnx_debug.diagnose(nn.Linear(2, 2).eval(), torch.ones(1, 2), f=target)
    assert found.written is not None
    assert found.written.size == sum(file.stat().st_size for file in tmp_path.iterdir())
    assert f"Written to {target} (" in str(found)


def test_a_success_without_a_path_says_that_nothing_was_written():
    found = onnx_debug.diagnose(nn.Linear(2, 2).eval(), torch.ones(1, 2))
    assert found.written is None
    assert "Nothing was written: no path was given" in str(found)
