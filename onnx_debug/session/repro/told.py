"""What an exception tells in the process in which a script failed."""

from __future__ import annotations

import traceback
from typing import Any

from torch import nn

from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.explain.exceptions import exception_chain, from_exception
from onnx_debug.explain.locate import Locator


def told_by(error: BaseException, script: str, names: dict[str, Any]) -> dict[str, Any]:
    """What a script told by its exception, as JSON holds it.

    It is the line of the script that failed, the class of the innermost exception, the operator that
    it names, and whether that was on further inputs.

    Args:
        error: what ended the script.
        script: its path.
        names: its variables, as it left them.
    """
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == script]
    model, args = names.get("model"), names.get("args")
    known = model if isinstance(model, nn.Module) else nn.Module()
    clues = from_exception(error, Locator(ModuleNames(known)))
    return {
        "line": lines[0] if lines else 0,
        "type": type(exception_chain(error)[0]).__name__,
        "op": next((clue.op for clue in clues if clue.op), None),
        "further": any(args is other for other, _ in names.get("others", ())),
    }
