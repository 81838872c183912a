"""`onnx_debug.install()`: a cell that fails in `torch.onnx.export` ends with one line that offers `%onnx_postmortem`."""

from __future__ import annotations

import contextlib
import sys

from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

_OFFER = "onnx_debug: %onnx_postmortem in the next cell finds the layer and the line that block this export."


def install() -> None:
    """From now on, a cell that fails in `torch.onnx.export` ends with a line that offers `%onnx_postmortem`.

    Torch stays as it is: IPython tells when a cell has ended, and its error tells whether it passed
    through the exporter. Calling this twice changes nothing.

    Raises:
        RuntimeError: no IPython is running.
    """
    shell = _shell()
    assert shell.extension_manager
    shell.extension_manager.load_extension("onnx_debug")
    shell.events.register("post_run_cell", _after_cell)


def uninstall() -> None:
    """Offer nothing any more. The magics stay.

    Raises:
        RuntimeError: no IPython is running.
    """
    with contextlib.suppress(ValueError):  # it was not installed
        _shell().events.unregister("post_run_cell", _after_cell)


def _shell() -> InteractiveShell:
    shell = get_ipython()
    if shell is None:
        raise RuntimeError(
            "onnx_debug.install() works in a notebook or in IPython, and neither is running here."
        )
    return shell


def _after_cell(result: ExecutionResult) -> None:
    error = result.error_in_exec
    if error is None or "torch.onnx" not in sys.modules:
        return
    from onnx_debug.frontends.intercept_export import failed_call

    if failed_call(error) is not None:
        print(_OFFER)  # noqa: T201 - the last line of the cell's output
