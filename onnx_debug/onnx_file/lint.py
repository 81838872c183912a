"""What onnx-doctor, a linter of ONNX files, says of a file, led back to module and line. It need not be installed."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

_LIMIT = 60.0  # seconds
_MOST = 20
_NODE = re.compile(r"node[/\[](\d+)")  # of the main graph


def findings(path: Path) -> tuple[str, ...]:
    """One line for each finding; none where onnx-doctor is not installed.

    It is asked through its command line, whose JSON is made for others to read.
    """
    if importlib.util.find_spec("onnx_doctor") is None:
        return ()
    command = [sys.executable, "-m", "onnx_doctor", "check", "--output-format", "json", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_LIMIT, check=False, text=True)
        said = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, OSError, ValueError):
        return ("onnx-doctor is installed, but did not answer",)
    model = onnx.load(path, load_external_data=False)
    found = list(dict.fromkeys(_lines(said, model)))
    more = [f"… and {len(found) - _MOST} more"] if len(found) > _MOST else []
    return (*found[:_MOST], *more)


def _lines(said: Any, model: onnx.ModelProto) -> Iterator[str]:
    for one in said if isinstance(said, list) else said.get("messages", ()):
        place = _NODE.search(str(one.get("location", "")))
        node = None
        if place is not None and int(place[1]) < len(model.graph.node):
            node = model.graph.node[int(place[1])]
        where = _where(node) if node is not None else ""
        yield f"{one.get('code', '')} {one.get('message', '')}{where}".strip()


def _where(node: onnx.NodeProto) -> str:
    """The module and the line that a node was made of, as the exporter writes them into the file."""
    held = {entry.key: entry.value for entry in node.metadata_props}
    names = re.findall(r"'([^']*)'", held.get("pkg.torch.onnx.name_scopes", ""))
    module = names[-2] if len(names) > 1 else ""
    lines = re.findall(r'File "([^"]+)", line (\d+)', held.get("pkg.torch.onnx.stack_trace", ""))
    line = f"{Path(lines[-1][0]).name}:{lines[-1][1]}" if lines else ""
    said = ", ".join(filter(None, (module, line)))
    return f" ({said})" if said else ""
