"""The panel in a real JupyterLab: from the first culprit to its graph, and from a click in the tree to the node.

python benchmarks/panel.py            a graph of 1,000 nodes, five times
python benchmarks/panel.py 300 3      300 nodes, three times

The session answers by heart, so that what is measured is the panel: drawing, sending, Netron. The
first run also loads Netron.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.ui.conftest import launch
from tests.ui.jupyter import Notebook, serve
from tests.ui.measure import first_graph, selection

CELLS = (
    "from tests.ui.fake_session import FakeSession\n"
    "from onnx_debug.frontends.panel.panel import panel\nfrom IPython.display import display",
    "session = FakeSession(nodes={}, pause=0.3, own_graphs=False)\nshown = panel(session)\ndisplay(shown)\nd = shown.run()",
    "session.known_at",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("nodes", type=int, nargs="?", default=1_000)
    parser.add_argument("times", type=int, nargs="?", default=5)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(Path(folder), "lab") as server,
        sync_playwright() as playwright,
    ):
        context = launch(playwright).new_context(viewport={"width": 1500, "height": 950})
        notebook = Notebook(
            server, context, "measured.ipynb", CELLS[0], CELLS[1].format(asked.nodes), CELLS[2]
        )
        notebook.run(0)
        graphs = [first_graph(notebook, 1, 2) for _ in range(asked.times)]
        clicks = [
            selection(notebook, f"blocks.{i}.norm", f"n{(4 * i + 2) * asked.nodes // 24 - 2}")
            for i in range(6)
        ]
    print(
        f"first culprit to a graph of {asked.nodes} nodes: {', '.join(f'{seconds:.2f}' for seconds in graphs)} s"
    )
    print(f"tree to graph: {statistics.median(clicks):.0f} ms (slowest {max(clicks):.0f})")


if __name__ == "__main__":
    main()
