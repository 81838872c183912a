"""All entries, and which of them speaks of a failure."""

from __future__ import annotations

import difflib

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
    "Loading and running the file": runtime.ENTRIES,
    "Numbers": numbers.ENTRIES,
    "Crashes, hangs, memory": process.ENTRIES,
}
# The first that fits is meant, so within a group the special ones stand before the general ones.
ENTRIES = tuple(entry for group in GROUPS.values() for entry in group)
BY_CODE = {entry.code: entry for entry in ENTRIES}


def find(facts: Facts) -> Entry:
    """The entry that speaks of these facts; every stage and every mode has one for what no other knows."""
    return next(entry for entry in ENTRIES if any(sign.fits(facts) for sign in entry.when))


def near(code: str, most: int = 3) -> list[str]:
    """The codes that look most like one that nobody has."""
    return difflib.get_close_matches(code.upper(), sorted(BY_CODE), n=most, cutoff=0.5)
