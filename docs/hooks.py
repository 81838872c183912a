"""What the site adds to the files of `docs/`: the notebooks, which stand beside that folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).parent.parent


@event_priority(100)  # before the plugin that renders notebooks
def on_files(files: Files, config: Any) -> Files:
    """Every numbered notebook, as a page of its own, and the images it shows."""
    found = sorted((_ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    found += sorted((_ROOT / "notebooks" / "images").glob("*"))
    for path in found:
        name = path.relative_to(_ROOT).as_posix()
        files.append(File(name, str(_ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links that lead out of `docs/` in the repository stay inside the site."""
    return markdown.replace("](../notebooks/", "](notebooks/")
