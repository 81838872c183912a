"""A standalone script that fails as a model does. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

SCRIPT = "repro.py"
STATE = "repro.pt"  # tensors too large to be written into the script


@dataclass(frozen=True)
class Repro:
    """A standalone script that fails as a culprit does, or the reason why there is none.

    Nothing stands in `script` that was not run in a clean process and seen to fail alike.

    Attributes:
        module: what the script exports: the culprit, or the smallest module around it that fails by
            itself; "" is the whole model.
        script: its text; empty where there is none.
        files: what it reads from its folder, by name.
        issue: the text of an issue around the script, as Markdown.
        tracker: where that issue belongs: an address, or a name where the address is not known.
        signature: how the script was seen to fail.
        proven: it was seen to fail so.
        why_not: in one sentence, why there is no script.
        sibling: the nearest module of the same class that passes alone; empty when none was met.
    """

    module: str = ""
    script: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    issue: str = ""
    tracker: str = ""
    signature: str = ""
    proven: bool = False
    why_not: str = ""
    sibling: str = ""

    def __str__(self) -> str:
        return self.script or f"There is no script: {self.why_not}"

    def save(self, directory: str | Path) -> Path:
        """Write the script, its files and `issue.md` into a folder, and return the script's path.

        Raises:
            ValueError: there is no script.
        """
        if not self.proven:
            raise ValueError(f"there is no script to save: {self.why_not}")
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        (folder / "issue.md").write_text(self.issue, encoding="utf-8")
        (folder / SCRIPT).write_text(self.script, encoding="utf-8")
        return folder / SCRIPT
