"""Build the wheel, install it into an environment of its own, and run the quickstart's first cells there: `make wheel`.

Nothing of the repository is within reach of that environment but the wheel and the notebook. It takes
some minutes and gigabytes, because torch is installed anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
CONSTRAINTS = ROOT / "constraints.txt"
_SHELL = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in json.load(open(sys.argv[1])):
    shell.run_cell(cell)
import onnx_debug
found = shell.user_ns["_"]
print(onnx_debug.__file__)
print(found)
assert isinstance(found, onnx_debug.Diagnosis) and found.culprits and found.codes
"""


def main() -> None:
    """Build, install, run; a step that fails ends it."""
    tools = _environment(ROOT / "build" / "wheel-tools", ["build"])
    _run(tools, "-m", "build", "--wheel", "--outdir", DIST, ROOT)
    wheel = max(DIST.glob("onnx_debug-*.whl"), key=lambda path: path.stat().st_mtime)
    with tempfile.TemporaryDirectory() as folder:
        # torch first and by the constraints, so that no open range picks another build of it.
        clean = _environment(Path(folder) / "env", ["torch"], [f"{wheel}", "transformers"])
        cells = Path(folder) / "cells.json"
        cells.write_text(json.dumps(_first_cells()))
        _run(clean, "-c", _SHELL, cells, folder=folder)
        _run(clean.with_name("onnx-debug"), "explain", "OD101", folder=folder)
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, installs and runs")


def _environment(path: Path, *packages: list[str]) -> Path:
    """The interpreter of an environment with these packages."""
    venv.create(path, with_pip=True)
    python = path / "bin" / "python"
    for group in packages:
        _run(python, "-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS, *group)
    return python


def _first_cells() -> list[str]:
    """The code of the quickstart up to the first diagnosis."""
    notebook = json.loads((ROOT / "notebooks" / "01_quickstart.ipynb").read_text())
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    last = next(i for i, cell in enumerate(code) if cell.startswith("%%onnx_export"))
    return code[: last + 1]


def _run(*command: object, folder: str | None = None) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=folder)


if __name__ == "__main__":
    sys.exit(main())
