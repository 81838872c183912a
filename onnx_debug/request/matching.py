"""Which input, argument or option the user meant by a name. No torch: the command line asks too, before it loads it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

_OUTPUT = re.compile(r"out|logit|pred|prob|result|score|hidden_state|^y$")
_CLOSE = 0.6


class UnclearError(Exception):
    """What the user meant cannot be told."""


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """`; did you mean opset_version?` after a wrong name; empty where no known one is near."""
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def nearest(name: Any, known: Iterable[Any]) -> str:
    """What may stand in the place of a wrong name, in words."""
    names = list(map(str, known))
    near = difflib.get_close_matches(str(name), names, n=1)
    return repr(near[0]) if near else f"one of {', '.join(map(repr, names))}"


def looks_like_output(name: Any) -> bool:
    """Whether people call an output so."""
    return _OUTPUT.search(str(name).lower()) is not None


def assign(
    keys: Iterable[str],
    names: Iterable[str],
    *,
    fits: Callable[[str, str], bool],
    aliases: Mapping[str, str] | None = None,
    outputs: Collection[str] = (),
    spare_are_outputs: bool = False,
) -> dict[str, str | None]:
    """The name that each key stands for; None: an output. Same name, else alias, else nearest spelling, else order.

    Args:
        fits: whether what the request says under this key can be said of the input of that name.
        spare_are_outputs: keys that are left over at the end are outputs.

    Raises:
        UnclearError: there is more than one way to read it.
    """
    pairs = _Pairs(keys, names, fits)
    for key in list(pairs.left):
        meant = key if key in pairs.free else (aliases or {}).get(key)
        if meant in pairs.free:
            pairs.add(key, meant)
        elif key in outputs:
            pairs.add(key, None)
    pairs.add_alike()
    if spare_are_outputs or len(pairs.left) > len(pairs.free):
        for key in filter(looks_like_output, list(pairs.left)):
            pairs.add(key, None)
    pairs.add_by_order(spare=spare_are_outputs)
    return pairs.chosen | dict.fromkeys(pairs.left)


class _Pairs:
    """Keys and names that are still to be paired, and the pairs so far."""

    def __init__(
        self, keys: Iterable[str], names: Iterable[str], fits: Callable[[str, str], bool]
    ) -> None:
        self.chosen: dict[str, str | None] = {}
        self.left, self.free, self._fits = list(keys), list(names), fits

    def add(self, key: str, name: str | None) -> None:
        self.chosen[key] = name
        self.left.remove(key)
        if name is not None:
            self.free.remove(name)

    def add_alike(self) -> None:
        """Names that are spelled nearly alike, nearest first."""
        rated = [
            (difflib.SequenceMatcher(None, str(key), name).ratio(), key, name)
            for key in self.left
            for name in self.free
        ]
        for ratio, key, name in sorted(rated, key=lambda found: -found[0]):
            if ratio >= _CLOSE and key in self.left and name in self.free and self._fits(key, name):
                self.add(key, name)

    def add_by_order(self, *, spare: bool) -> None:
        free = [name for name in self.free if any(self._fits(key, name) for key in self.left)]
        if len(self.left) < len(free) or (len(self.left) > len(free) and not spare):
            raise UnclearError
        for key, name in list(zip(self.left, free, strict=False)):
            if not self._fits(key, name):
                raise UnclearError
            self.add(key, name)
