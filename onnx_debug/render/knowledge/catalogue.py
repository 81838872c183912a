"""All entries, and which of them speaks of a failure."""

from __future__ import annotations

from onnx_debug.render.knowledge import (
    capture,
    eager,
    numbers,
    operators,
    process,
    request,
    runtime,
    translate,
)
from onnx_debug.render.knowledge.entry import Entry, Facts

GROUPS: dict[str, tuple[Entry, ...]] = {
    "The model itself": eager.ENTRIES,
    "Capture": capture.ENTRIES,
    "Translation": (*translate.FIRST, *operators.ENTRIES, *translate.LAST),
    "The request": request.ENTRIES,
    "Numbers": numbers.ENTRIES,
    "Loading and running the file": runtime.ENTRIES,
    "Crashes, hangs, memory": process.ENTRIES,
}
# The first that fits is meant: special ones stand before general ones, and what a trace froze says
# more of a file that does not run than the node at which it stops.
ENTRIES = tuple(entry for group in GROUPS.values() for entry in group)
BY_CODE = {entry.code: entry for entry in ENTRIES}


def find(facts: Facts) -> Entry:
    """The entry that speaks of these facts; every stage and every mode has one for what no other knows."""
    return next(entry for entry in ENTRIES if any(sign.fits(facts) for sign in entry.when))


def near(code: str, most: int = 3) -> list[str]:
    """The codes that begin like one that nobody has."""

    def beginning(known: str) -> int:
        return sum(known.startswith(code.upper()[:length]) for length in range(1, len(code) + 1))

    return sorted(sorted(BY_CODE), key=beginning, reverse=True)[:most]
