"""What onnx_debug raises itself. A failure of the user's model is never one of these: it is a value, `Outcome`."""


class OnnxDebugError(Exception):
    """Base class of everything that onnx_debug raises."""


class CaseError(OnnxDebugError, TypeError):
    """What was handed to `diagnose` cannot be an export: no module, arguments that do not fit, an unknown option."""


class SessionClosedError(OnnxDebugError, RuntimeError):
    """A `Session` was used after it was closed or stopped."""


class NoSpaceError(OnnxDebugError, RuntimeError):
    """The disk with the temporary files is full, so no trial can write its model."""


class PausedError(OnnxDebugError, RuntimeError):
    """`Session.pause` was called before this was answered; ask again."""
