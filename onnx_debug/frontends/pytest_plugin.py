"""The pytest option `--onnx-debug-reports DIR`: a page for each `assert_exports` that fails. Imports no torch."""

from __future__ import annotations

import re
import zlib
from collections.abc import Generator
from pathlib import Path

import pytest

from onnx_debug.testing import ExportAssertionError

_LONGEST = 120  # characters of a test's name in a file's name; file systems allow 255 bytes


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("onnx_debug").addoption(
        "--onnx-debug-reports",
        metavar="DIR",
        help="save an HTML report of each failing onnx_debug.testing.assert_exports in DIR",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Watch the tests, if reports are asked for."""
    folder = config.getoption("onnx_debug_reports")
    if folder:  # absolute, because a test may change the working directory
        config.pluginmanager.register(_Reports(Path(folder).absolute()), "onnx_debug_reports")


class _Reports:
    """Saves the diagnosis that a test failed with, and tells where it lies.

    The path stands under the failure, and in JUnit's XML as the test's property `onnx_debug_report`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Save a report where the test's error holds a diagnosis."""
        error = call.excinfo.value if call.excinfo else None
        if not isinstance(error, ExportAssertionError):
            return (yield)
        said = self._save(error, item)
        report = yield
        report.sections.append(("onnx_debug report", said))
        return report

    def _save(self, error: ExportAssertionError, item: pytest.Item) -> str:
        path = self._folder / _file_name(item.nodeid)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            error.diagnosis.save_html(path)
        except OSError as problem:  # a full disk must not end the whole test run
            return f"The report could not be saved: {problem}"
        item.user_properties.append(("onnx_debug_report", str(path)))
        return str(path)


def _file_name(nodeid: str) -> str:
    """A readable name; the checksum tells apart tests whose names differ only in what files cannot be called."""
    readable = re.sub(r"[^\w.-]+", "-", nodeid).strip("-")
    return f"{readable[-_LONGEST:]}-{zlib.crc32(nodeid.encode()):08x}.html"
