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

from onnx_debug.torch_private import graphs, onnx_metadata

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
    lines = graphs.parse_stack_trace(onnx_metadata.read(node, onnx_metadata.STACK_TRACE) or "")
    place = "".join(f"{Path(file).name}:{line}" for file, line in lines[-1:])
    said = ", ".join(filter(None, (onnx_metadata.module_path(node), place)))
    return f" ({said})" if said else ""
