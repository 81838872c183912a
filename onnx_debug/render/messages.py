"""The content of other programs' messages: what stands around it says nothing to a user, and pushes it out of sight."""

from __future__ import annotations

import re

LONGEST_REASON = 110

_OF_ONNX_RUNTIME = "[ONNXRuntimeError]"
# ONNX Runtime puts its error code, the place in its C++ source and a temporary path before what it has to say.
_AROUND = (
    (re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : "), ""),
    (
        re.compile(r"Non-zero status code returned while running (\w+) node\..*?Status Message: "),
        r"\1: ",
    ),
    (re.compile(r" Please fix either the inputs/outputs or the model\."), ""),
    (re.compile(r"Load model from \S+ failed: ?"), ""),
    (re.compile(r"/\S+\.(?:h|hpp|cc|cpp|cu):\d+ .*?\)(?: const)? "), ""),
    # torch.
    (re.compile(r" ?For more information, run with TORCH_LOGS=\S+"), ""),
    (re.compile(r"\. Signature: .*"), ""),
)


def content(message: str) -> str:
    """A message without its surroundings, in one line: a headline that leads to a list goes with the list's first entry."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if not lines:
        return ""
    if _OF_ONNX_RUNTIME in message:  # its sentences run on over several lines
        lines = [" ".join(lines)]
    first = lines[0]
    for pattern, kept in _AROUND:
        first = pattern.sub(kept, first)
    if len(lines) > 1 and lines[1].startswith("- "):
        first = f"{first.rstrip('!. ')}: {lines[1].removeprefix('- ')}"
    return first.strip()


def first_line(message: str, longest: int = LONGEST_REASON) -> str:
    """What a message says in one line, shortened, without a full stop at its end."""
    return shorten(content(message).rstrip(".:"), longest)


def shorten(text: str, longest: int) -> str:
    """Cut at the end, with an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
