"""The lines around a guilty line. Reading them is the one thing here that is not pure, so it is passed in."""

from __future__ import annotations

import linecache
import textwrap
from collections.abc import Callable

from onnx_debug.data.failure import Source

ReadLines = Callable[[str], list[str]]
AROUND = 3


def read_lines(file: str) -> list[str]:
    """All lines of a file. `linecache` also knows notebook cells, as long as their kernel lives."""
    return linecache.getlines(file)


def excerpt(source: Source, read: ReadLines) -> list[tuple[int, str, bool]]:
    """Number, text and "is it the guilty one" of the lines around it; of that line alone when the file is gone or has changed since."""
    lines = read(source.file)
    if not 0 < source.line <= len(lines) or lines[source.line - 1].strip() != source.text.strip():
        return [(source.line, source.text, True)]
    first, last = max(1, source.line - AROUND), min(len(lines), source.line + AROUND)
    block = textwrap.dedent("".join(lines[first - 1 : last])).splitlines()
    numbered = [(number, text, number == source.line) for number, text in enumerate(block, first)]
    while not numbered[0][1].strip():
        del numbered[0]
    while not numbered[-1][1].strip():
        del numbered[-1]
    return numbered
