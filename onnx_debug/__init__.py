"""When `torch.onnx.export` fails: which layer, which line, why, proven.

In a notebook: `%load_ext onnx_debug`, then `%%onnx_export` on top of the cell that failed. In Python: `onnx_debug.diagnose(model, args)`.
Importing this package imports neither torch nor IPython; its names are fetched when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from onnx_debug.diagnosis import Diagnosis
    from onnx_debug.session import Session, diagnose

__version__ = "0.1.0"
__all__ = ["Diagnosis", "Session", "diagnose", "load_ipython_extension"]

_HOMES = {"Diagnosis": "onnx_debug.diagnosis", "Session": "onnx_debug.session", "diagnose": "onnx_debug.session"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext onnx_debug`: register the magics, and how a `Diagnosis` shows itself."""
    from onnx_debug import magic

    magic.register(shell)
