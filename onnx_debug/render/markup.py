"""Build HTML out of elements: whatever is not markup already gets escaped, so no user string can slip through."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = {"meta", "br"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | None | Iterable["Child"]


def tag(name: str, /, *children: Child, **attributes: str | bool) -> Markup:
    """One element.

    Args:
        name: the element's name.
        children: markup, text (escaped), None (left out), or any nesting of them.
        attributes: `class_="a"` -> `class="a"`; True -> the bare name; False or "" -> left out.
    """
    inner = "".join(_flat(children))
    opening = f"<{name}{''.join(_attribute(key.rstrip('_').replace('_', '-'), value) for key, value in attributes.items())}>"
    return Markup(opening if name in _VOID else f"{opening}{inner}</{name}>")


def join(*children: Child) -> Markup:
    """Several elements beside each other."""
    return Markup("".join(_flat(children)))


def _flat(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if isinstance(child, str):
            yield child if isinstance(child, Markup) else escape(child)
        elif child is not None:
            yield from _flat(child)


def _attribute(key: str, value: str | bool) -> str:
    if value is True:
        return f" {key}"
    return f' {key}="{escape(value)}"' if value else ""
