"""OD6xx: the process that exports or runs the model dies, does not end, or grows too large."""

from __future__ import annotations

from onnx_debug.data.stage import Mode, Stage
from onnx_debug.render.knowledge.entry import Entry, Sign

_RUNTIME = (Stage.LOAD, Stage.RUN, Stage.COMPARE)
_MORE_TIME = "look for a loop that does not end under tracing, or give more time: {time}."

ENTRIES = (
    Entry(
        "OD601",
        "the process dies while it runs (no Python exception)",
        "Native code crashed: a kernel of torch, a custom operator, or a library that the model calls. "
        "Python cannot catch that; a notebook would lose its kernel.",
        "the native code that {this} calls is at fault; {error} holds its last words.",
        (
            Sign(
                (Stage.EAGER, Stage.OPTIONS, Stage.CAPTURE, Stage.TRANSLATE, Stage.OPTIMIZE),
                (Mode.CRASH,),
            ),
        ),
        says=("Segmentation fault", "The kernel appears to have died"),
        lesson="08",
    ),
    Entry(
        "OD602",
        "ONNX Runtime dies on the exported model",
        "The file was written, and native code of ONNX Runtime crashed while it loaded or ran it.",
        "try another opset_version or another version of ONNX Runtime; {error} holds its last words.",
        (Sign(_RUNTIME, (Mode.CRASH,)),),
        says=("Segmentation fault", "The kernel appears to have died"),
        lesson="08",
    ),
    Entry(
        "OD611",
        "does not end within the time limit",
        "The export runs longer than the limit for one trial. A loop may wait for a value that never "
        "comes while the model is captured, or the graph is very large.",
        _MORE_TIME,
        (Sign((), (Mode.TIMEOUT,)),),
        lesson="08",
    ),
    Entry(
        "OD621",
        "needs more memory than the limit",
        "Exporting takes several copies of the weights, and constants that were folded take more; or "
        "a line makes a tensor that grows with the square of a size.",
        "export a smaller input, or raise {memory}.",
        (Sign((), (Mode.MEMORY,)),),
        lesson="08",
    ),
)
