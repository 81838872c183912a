"""What the exporters write beside a node of an ONNX file. No torch. Tried on files of torch 2.13."""

from __future__ import annotations

import ast
import re

import onnx

NAME_SCOPES = "pkg.torch.onnx.name_scopes"
STACK_TRACE = "pkg.torch.onnx.stack_trace"


def read(node: onnx.NodeProto, key: str) -> str | None:
    """One entry of a node's metadata; None where it has no such entry."""
    return next((entry.value for entry in node.metadata_props if entry.key == key), None)


def module_path(node: onnx.NodeProto) -> str | None:
    """The path of the module that made a node, or None where the exporter did not write it.

    The scopes read `"['', 'blocks.0', 'linear_1']"`: the last one is the FX node, the one before
    it is the module. `lin@1` is the second call of `lin`.
    """
    try:
        scopes = ast.literal_eval(read(node, NAME_SCOPES) or "")
    except (ValueError, SyntaxError):
        return None
    if not isinstance(scopes, list) or len(scopes) < 2:
        return None
    return re.sub(r"@\d+$", "", str(scopes[-2]))
