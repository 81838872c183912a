"""`onnx_debug.meaning("OD101")`: what is known of a code."""

from __future__ import annotations

from onnx_debug.render.knowledge import page


class Page(str):
    """A page of text, which a notebook and an interactive Python show as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def meaning(code: str) -> Page:
    """What is known of the failures that a report marks with this code, as text.

    Args:
        code: as a report shows it, such as "OD101"; capitals and brackets do not matter. Of a code
            that nobody has, the text names those that look like it.
    """
    return Page(page.text(code))
