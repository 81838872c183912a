"""How long things take in the browser, by its own clock."""

from __future__ import annotations

from typing import Any

from tests.ui.jupyter import Notebook

_FORGET = "() => document.querySelectorAll('.od-panel').forEach((panel) => { panel.dataset.old = 'yes'; })"
_GRAPH = "() => document.querySelector('.od-panel:not([data-old]) iframe.od-netron')?.dataset.status === 'ok' && Date.now() / 1000"
_CHANGED = """(name) => ({ done: new Promise((resolve) => {
    const node = document.getElementById(`node-name-${name}`);
    new MutationObserver((_, me) => { me.disconnect(); resolve(performance.timeOrigin + performance.now()); })
        .observe(node, { attributes: true, attributeFilter: ['class'] });
}) })"""
_CLICK = """(fqn) => {
    const tree = document.querySelector('.od-panel [role=tree]');
    const row = () => document.querySelector(`.od-panel [data-fqn="${fqn}"]`);
    for (tree.scrollTop = 0; !row() && tree.scrollTop + tree.clientHeight < tree.scrollHeight; tree.scrollTop += 100) {
        tree.dispatchEvent(new Event('scroll')); // rows out of sight are not drawn
    }
    const at = performance.timeOrigin + performance.now();
    row().click();
    return at;
}"""


def first_graph(notebook: Notebook, cell: int, known_at: int) -> float:
    """Seconds from the first culprit to its graph on screen: run `cell`, ask the cell `known_at` when the culprit was known."""
    notebook.page.evaluate(_FORGET)
    notebook.start(cell)
    shown = float(notebook.page.wait_for_function(_GRAPH, polling=20).json_value())
    notebook.page.evaluate("() => window.running")
    return shown - float(notebook.value(known_at))


def selection(notebook: Notebook, fqn: str, node: str) -> float:
    """Milliseconds from a click on a module in the first panel's tree to the border of a node of it, seen inside the frame."""
    frame: Any = next(
        frame
        for frame in notebook.page.frames
        if frame.parent_frame and frame.query_selector("g.graph-node")
    )
    waiting = frame.evaluate_handle(_CHANGED, node)
    clicked = notebook.page.evaluate(_CLICK, fqn)
    return float(waiting.evaluate("(handle) => handle.done")) - float(clicked)
