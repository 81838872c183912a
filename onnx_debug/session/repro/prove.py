"""A script run in a clean process, and how it failed there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from onnx_debug.data.failure import Failure
from onnx_debug.data.repro import SCRIPT
from onnx_debug.data.stage import Mode, Stage

_OF_EXPORT = (Stage.OPTIONS, Stage.CAPTURE, Stage.TRANSLATE, Stage.OPTIMIZE)
# The script's own line tells the step, and what a trial reads from an exception tells the rest. This
# package is found only after the script has failed without it.
_HARNESS = """
import json, sys
script, package = sys.argv[1:]
names = {"__name__": "__main__", "__file__": script}
try:
    exec(compile(open(script).read(), script, "exec"), names)
    told = {}
except BaseException as error:
    sys.path.insert(0, package)
    from onnx_debug.session.repro.told import told_by
    told = told_by(error, script, names)
open("told.json", "w").write(json.dumps(told))
"""
_PACKAGE = Path(__file__).parents[3]


@dataclass(frozen=True)
class Ran:
    """How a script ended.

    Attributes:
        mode: as of a trial; None: it ran to its end.
        step: the statement that failed: "export", "load", "run", "compare", or "" for another one.
        exception_type: class name of the innermost exception.
        op: the operator that it names.
        further: it failed on further inputs, after the first ones had passed.
    """

    mode: Mode | None
    step: str = ""
    exception_type: str = ""
    op: str | None = None
    further: bool = False

    def is_like(self, failure: Failure) -> bool:
        """Whether it failed as the module did."""
        if self.mode is not failure.mode:
            return False
        if self.mode is not Mode.ERROR:
            return True
        if failure.stage is Stage.COMPARE:  # a file that takes no other sizes stops at its run
            return self.step == "compare" or (self.step == "run" and self.further)
        step = "export" if failure.stage in _OF_EXPORT else str(failure.stage)
        same = self.exception_type == failure.exception_type
        if failure.stage is Stage.TRANSLATE and failure.op is not None:
            same = same and self.op == failure.op
        return self.step == step and same

    @property
    def words(self) -> str:
        """In plain words."""
        if self.mode is None:
            return "it ran to its end"
        where = f" at its {self.step} step" if self.step else ""
        return f"it ended in {self.exception_type or self.mode}{where}"


def run(script: str, files: dict[str, bytes], timeout: float) -> Ran:
    """Run a script in an empty folder, in a Python that sees installed packages only.

    Args:
        script: its text.
        files: what it reads.
        timeout: seconds until it is ended.
    """
    with tempfile.TemporaryDirectory(prefix="onnx_debug_repro_") as folder:
        path = Path(folder) / SCRIPT
        path.write_text(script, encoding="utf-8")
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        command = [sys.executable, "-I", "-c", _HARNESS, str(path), str(_PACKAGE)]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            return Ran(Mode.TIMEOUT)
        told = Path(folder) / "told.json"
        if not told.exists():
            killed = done.returncode == -signal.SIGKILL
            return Ran(Mode.MEMORY if killed else Mode.CRASH)
        found = json.loads(told.read_text())
    if not found:
        return Ran(None)
    step = _step(script.splitlines(), found["line"])
    return Ran(Mode.ERROR, step, found["type"], found["op"], found["further"])


def _step(lines: list[str], line: int) -> str:
    """Which of the script's own statements stands in this line."""
    steps = {
        "torch.onnx.export(": "export",
        "onnxruntime.InferenceSession(": "load",
        "session.run(": "run",
        "torch.testing.assert_close(": "compare",
    }
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    return next((step for call, step in steps.items() if call in text), "")
