"""Which input or argument the user meant by a name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping

from onnx_debug.request.options.axes import looks_like_output

_CLOSE = 0.6


class UnclearError(Exception):
    """What the user meant cannot be told."""


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
    matching = _Matching(keys, names, fits)
    matching.by_name(aliases or {}, outputs)
    matching.by_spelling()
    if spare_are_outputs or len(matching.left) > len(matching.free):
        matching.drop_outputs()
    matching.by_order(spare=spare_are_outputs)
    return matching.chosen | dict.fromkeys(matching.left)


class _Matching:
    """Keys and names that are still to be paired, and the pairs so far."""

    def __init__(
        self, keys: Iterable[str], names: Iterable[str], fits: Callable[[str, str], bool]
    ) -> None:
        self.chosen: dict[str, str | None] = {}
        self.left = list(keys)
        self.free = list(names)
        self._fits = fits

    def by_name(self, aliases: Mapping[str, str], outputs: Collection[str]) -> None:
        for key in list(self.left):
            meant = key if key in self.free else aliases.get(key)
            if meant in self.free:
                self._pair(key, meant)
            elif key in outputs:
                self._pair(key, None)

    def by_spelling(self) -> None:
        pairs = [
            (difflib.SequenceMatcher(None, str(key), name).ratio(), key, name)
            for key in self.left
            for name in self.free
        ]
        for ratio, key, name in sorted(pairs, key=lambda pair: -pair[0]):
            if ratio >= _CLOSE and key in self.left and name in self.free and self._fits(key, name):
                self._pair(key, name)

    def drop_outputs(self) -> None:
        for key in list(self.left):
            if looks_like_output(str(key)):
                self._pair(key, None)

    def by_order(self, *, spare: bool) -> None:
        free = [name for name in self.free if any(self._fits(key, name) for key in self.left)]
        if len(self.left) < len(free) or (len(self.left) > len(free) and not spare):
            raise UnclearError
        for key, name in list(zip(self.left, free, strict=False)):
            if not self._fits(key, name):
                raise UnclearError
            self._pair(key, name)

    def _pair(self, key: str, name: str | None) -> None:
        self.chosen[key] = name
        self.left.remove(key)
        if name is not None:
            self.free.remove(name)
