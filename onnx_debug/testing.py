"""For test suites: `assert_exports` says whether a model exports and matches, and which layer is in the way where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.errors import OnnxDebugError
from onnx_debug.data.stage import Verdict


class ExportAssertionError(OnnxDebugError, AssertionError):
    """The model was not seen to export and match.

    Attributes:
        diagnosis: what was found; its text is the message.
    """

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(diagnosis)
        self.diagnosis = diagnosis


def assert_exports(
    model: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None, **options: Any
) -> Diagnosis:
    """Fail unless `model` exports to ONNX, and the file loads, runs and answers as the model does.

    Under pytest, `--onnx-debug-reports DIR` also saves a report of each failure.

    Args:
        model: the model, as it would be passed to `torch.onnx.export`.
        args: its positional inputs.
        kwargs: its keyword inputs.
        **options: the keywords of `onnx_debug.diagnose`, those of `torch.onnx.export` among them.

    Returns:
        The diagnosis, for further questions such as `d.asked` or `d.edges`.

    Raises:
        ExportAssertionError: the export fails, or nobody knows whether it does.
        CaseError: what was handed over cannot be an export.
        KeyboardInterrupt: the search was stopped by Ctrl-C, which ends the test run as always.
    """
    __tracebackhide__ = True  # pytest and IPython show the caller's line
    from onnx_debug.session import diagnose

    diagnosis = diagnose.diagnose(model, args, kwargs, **options)
    if diagnosis.verdict is Verdict.STOPPED:
        raise KeyboardInterrupt
    if not diagnosis.ok:
        raise ExportAssertionError(diagnosis)
    return diagnosis
