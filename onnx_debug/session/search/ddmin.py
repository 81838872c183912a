"""Delta debugging: a smallest part of a list that still fails. Knows nothing of models.

Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2),
    2002.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


def smallest_failing(
    items: list[str], still_fails: Callable[[list[str]], Generator[Asked, Answered, bool]]
) -> Generator[Asked, Answered, list[str]]:
    """A part of `items` that fails and of which no single one can be left out.

    Args:
        items: all of them together fail.
        still_fails: asks whether a part fails; an answer that cannot be had counts as no.
    """
    kept, parts = items, 2
    while len(kept) > 1:
        size = -(-len(kept) // parts)
        chunks = [kept[start : start + size] for start in range(0, len(kept), size)]
        smaller = None
        for candidate in (*chunks, *_complements(chunks)):
            if (yield from still_fails(candidate)):
                smaller = candidate
                break
        if smaller is not None:
            kept, parts = smaller, 2
        elif parts >= len(kept):
            break
        else:
            parts = min(len(kept), parts * 2)
    return kept


def _complements(chunks: list[list[str]]) -> list[list[str]]:
    if len(chunks) <= 2:  # then the complements are the chunks themselves
        return []
    return [[name for other in chunks if other is not chunk for name in other] for chunk in chunks]
