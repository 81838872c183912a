"""Write `errors.md` from the error knowledge: `python -m docs.errors`."""

from __future__ import annotations

from pathlib import Path

from onnx_debug.render.knowledge.page import markdown

DOCS = Path(__file__).parent
PAGE = DOCS / "errors.md"


def lessons() -> dict[str, str]:
    """The notebooks that are there, as links, by the number in their names."""
    found = sorted((DOCS.parent / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    return {path.name[:2]: f"[{path.name}](../notebooks/{path.name})" for path in found}


if __name__ == "__main__":
    PAGE.write_text(markdown(lessons()), encoding="utf-8")
