"""The live panel in a real JupyterLab and a real Notebook 7."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import samples
from tests.ui.jupyter import Notebook, Server, serve
from tests.ui.measure import selection

pytestmark = pytest.mark.browser

SETUP = """import time
from tests.ui.fake_session import FakeSession
from onnx_debug.frontends.panel.panel import panel, show
from IPython.display import HTML, display"""
LIVE = """session = FakeSession(nodes=1000, pause=0.4)
shown = panel(session)
display(shown)
d = shown.run()"""
STEPPED = """other = panel(FakeSession(pause=0.5))
other"""
GRAPH = """from tests.ui.graph_alone import Graph
alone = Graph(session._path, selected=["n3"], marks={"n5": "#0a5ea3"}, height="300px")
alone"""
REAL = """import torch
from onnx_debug import Session

class Shift(torch.nn.Module):
    def forward(self, x):
        return x + torch.linalg.qr(x)[0].sum()

model = torch.nn.Sequential(torch.nn.Linear(4, 4), Shift(), torch.nn.Linear(4, 4)).eval()
cell_name = lambda file: " ".join(get_ipython().compile.format_code_name(file) or ()) or None
real = show(Session(model, (torch.randn(4, 4),)), cell_name=cell_name)"""
MAGIC = """%%onnx_export
import torch

class Shift(torch.nn.Module):
    def forward(self, x):
        return x + torch.linalg.qr(x)[0].sum()

model = torch.nn.Sequential(torch.nn.Linear(4, 4), Shift(), torch.nn.Linear(4, 4)).eval()
torch.onnx.export(model, (torch.randn(4, 4),), dynamo=True)"""
FIXED = """from tests import samples
panel(samples.bad_request())"""
CELLS = "() => [...window.jupyterapp.shell.currentWidget.content.model.cells].map((cell) => cell.sharedModel.getSource())"
MARKED = '[id="node-name-{}"]'


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("lab"), "lab") as server:
        yield server


@pytest.fixture(scope="module")
def context(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1500, "height": 950})
    yield context
    context.close()


@pytest.fixture(scope="module")
def notebook(lab: Server, context: Any) -> Notebook:
    """One notebook for all tests here: opening one takes longer than all of them."""
    opened = Notebook(
        lab,
        context,
        "live.ipynb",
        SETUP,
        LIVE,
        STEPPED,
        "",
        "str(shown.selected)",
        "other.diagnosis.trials[-1].module",
        GRAPH,
        "alone.selected",
    )
    opened.run(0)
    return opened


@pytest.fixture(scope="module")
def ran(notebook: Notebook) -> Notebook:
    """The same, after a search has run in its second cell."""
    notebook.run(1)
    notebook.panel().locator("iframe.od-netron[data-status=ok]").wait_for(state="attached")
    return notebook


def test_the_first_culprit_and_its_graph_show_while_the_search_runs(
    notebook: Notebook, screenshots: Path
) -> None:
    notebook.start(1)
    panel = notebook.panel()
    panel.get_by_text("trying", exact=False).wait_for()
    notebook.page.screenshot(path=screenshots / "lab_running.png")
    panel.locator("mark.od-line").wait_for()
    assert panel.get_by_role("button", name="Stop").is_enabled()
    panel.locator("iframe.od-netron[data-status=ok]").wait_for(state="attached")
    notebook.page.evaluate("() => window.running")


def test_a_tree_click_highlights_the_nodes(ran: Notebook) -> None:
    panel = ran.panel()
    panel.locator('[data-fqn="blocks.3.extra"]').click()
    ran.graph().locator("g.graph-node.select").wait_for(state="attached")
    assert ran.graph().locator("g.graph-node.select.od-mark").count() == 1
    ran.becomes(4, "'blocks.3.extra'")


def test_a_node_click_selects_the_module(ran: Notebook, screenshots: Path) -> None:
    panel = ran.panel()
    panel.get_by_role("tab", name="Graph").click()
    panel.scroll_into_view_if_needed()
    ran.graph().locator(MARKED.format("n670") + " .node-item-type").click()
    panel.locator('[data-fqn="blocks.4.attention"][aria-selected="true"]').wait_for()
    ran.page.screenshot(path=screenshots / "lab_graph.png")
    ran.becomes(4, "'blocks.4.attention'")
    panel.get_by_role("tab", name="Layer").click()


def test_selection_is_quick(ran: Notebook) -> None:
    panel = ran.panel()
    panel.get_by_role("tab", name="Graph").click()
    times = [selection(ran, "blocks.0.norm", "n60"), selection(ran, "blocks.1.mlp", "n270")]
    panel.get_by_role("tab", name="Layer").click()
    assert min(times) < 150


def test_step_run_and_stop(ran: Notebook) -> None:
    ran.run(2)
    panel = ran.panel(1)
    panel.scroll_into_view_if_needed()
    panel.get_by_role("button", name="Step").click()
    panel.get_by_text("1 trial ·").wait_for()
    panel.get_by_role("button", name="Run").click()
    panel.get_by_text("2 trials").wait_for()
    panel.get_by_role("button", name="Stop").click()
    panel.locator("button:enabled", has_text="Run").wait_for()
    panel.get_by_role("tab", name="Steps").click()
    assert 2 <= panel.locator(".od-shown tbody tr").count() < 6
    panel.get_by_role("button", name="Run").click()
    panel.get_by_text("6 trials").wait_for()


def test_try_alone_is_a_trial(ran: Notebook) -> None:
    panel = ran.panel(1)
    panel.get_by_role("tab", name="Layer").click()
    panel.locator('[data-fqn="blocks.2"]').click()
    panel.get_by_role("button", name="Try alone").click()
    panel.get_by_text("7 trials").wait_for()
    panel.locator("button:enabled", has_text="Try alone").wait_for()
    ran.becomes(5, "'blocks.2'")


def test_two_panels_on_a_page_keep_to_themselves(ran: Notebook) -> None:
    first, second = ran.panel(), ran.panel(1)
    first.locator('[data-fqn="blocks.1.extra"]').click()
    second.locator('[data-fqn="blocks.2"]').click()
    second.locator('[data-fqn="blocks.2"][aria-selected="true"]').wait_for()
    assert (
        first.locator('[aria-selected="true"][data-fqn]').get_attribute("data-fqn")
        == "blocks.1.extra"
    )
    first.get_by_role("tab", name="Graph").click()
    assert second.get_by_role("tab", name="Layer", selected=True).count() == 1
    first.get_by_role("tab", name="Layer").click()


def test_what_a_module_gets_comes_when_it_is_selected(ran: Notebook) -> None:
    panel = ran.panel()
    panel.locator('[data-fqn="blocks.0.norm"]').click()
    panel.get_by_role("region", name="Inputs and outputs").get_by_text(
        "[batch, 8, 16]"
    ).first.wait_for()
    assert "def forward(x: float) -> float:" in panel.locator(".od-source pre").inner_text()
    assert panel.get_by_role("region", name="Calls that differ").count() == 0


def test_a_culprit_s_own_graph_comes_when_it_is_asked_for(ran: Notebook) -> None:
    panel = ran.panel()
    panel.locator('[data-fqn="blocks.1.extra"]').click()
    panel.get_by_role("tab", name="Graph").click()
    panel.get_by_role("button", name="Up to the failure").click()
    ran.graph().locator(MARKED.format("linalg_qr") + ".od-mark").wait_for(state="attached")
    panel.get_by_role("button", name="Model", exact=True).click()
    ran.graph().locator(MARKED.format("n3")).wait_for(state="attached")
    panel.get_by_role("tab", name="Layer").click()


def test_a_narrow_notebook_cuts_nothing_off(ran: Notebook, screenshots: Path) -> None:
    page = ran.page
    toggle = "() => window.jupyterapp.commands.execute('application:toggle-left-area')"
    page.evaluate(toggle)
    page.set_viewport_size({"width": 560, "height": 900})
    page.wait_for_function("() => document.querySelector('.od-panel').clientWidth <= 480")
    ran.panel().scroll_into_view_if_needed()
    ran.panel().get_by_role("button", name="Modules").click()
    ran.panel().get_by_role("tree").wait_for()
    page.screenshot(path=screenshots / "lab_narrow.png")
    assert ran.panel().evaluate("panel => panel.scrollWidth <= panel.clientWidth")
    ran.panel().get_by_role("button", name="Modules").click()
    page.set_viewport_size({"width": 1500, "height": 950})
    page.evaluate(toggle)
    page.wait_for_function("() => document.querySelector('.od-panel').clientWidth > 700")


def test_stop_ends_a_cell_that_is_running(ran: Notebook, screenshots: Path) -> None:
    """The kernel is interrupted, which the panel takes for its button; it stays usable."""
    ran.write(
        3,
        "third = panel(FakeSession(pause=3.0))\ndisplay(third)\nthird.run()\nprint(len(third.steps))",
    )
    ran.start(3)
    panel = ran.page.locator(".jp-Cell").nth(3).locator(".od-panel")
    panel.get_by_text("1 trial ·").wait_for()
    panel.get_by_role("button", name="Stop").click()
    begin = time.monotonic()
    outputs = ran.page.evaluate("() => window.running")
    assert int(outputs[-1]["text"]) < 6
    (screenshots / "stop.txt").write_text(
        f"{time.monotonic() - begin:.2f} s from Stop to the end of the cell\n"
    )
    panel.locator("button:enabled", has_text="Run").wait_for()


def test_a_graph_on_its_own(ran: Notebook) -> None:
    ran.run(6)
    view = ran.page.locator(".od-graph")
    view.scroll_into_view_if_needed()
    inside = view.frame_locator("iframe.od-netron")
    inside.locator(MARKED.format("n3") + ".select").wait_for(state="attached")
    inside.locator(MARKED.format("n5") + ".od-mark").wait_for(state="attached")
    inside.locator(MARKED.format("n4") + " .node-item-type").click()
    inside.locator(MARKED.format("n4") + ".select").wait_for(state="attached")
    ran.becomes(7, "['n4']")


def test_the_theme_of_the_notebook_is_followed(ran: Notebook, screenshots: Path) -> None:
    change = "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
    ran.page.evaluate(change, "JupyterLab Dark")
    ran.page.wait_for_function(
        "() => document.querySelector('.od-panel').style.colorScheme === 'dark'"
    )
    ran.page.wait_for_timeout(500)
    ran.panel().scroll_into_view_if_needed()
    ran.page.screenshot(path=screenshots / "lab_dark.png")
    assert ran.graph().locator("html.od-dark").count() == 1
    ran.page.evaluate(change, "JupyterLab Light")
    ran.page.wait_for_function(
        "() => document.querySelector('.od-panel').style.colorScheme === 'light'"
    )


def test_keys_in_the_tree_are_not_commands_of_the_notebook(ran: Notebook) -> None:
    cells = ran.page.locator(".jp-Cell").count()
    ran.panel().locator('[data-fqn="head"], [data-fqn="blocks.0"]').first.click()
    tree = ran.panel().get_by_role("tree")
    tree.focus()
    for key in "abdd":
        tree.press(key)
    ran.page.wait_for_timeout(300)
    assert ran.page.locator(".jp-Cell").count() == cells


def test_typing_in_a_cell_while_a_panel_loads_loses_no_key(ran: Notebook) -> None:
    """The second panel's graph comes while somebody types in the last cell."""
    ran.write(3, "")
    ran.start(2)
    editor = ran.page.locator(".jp-Cell").nth(3).locator(".cm-content")
    editor.click()
    text = "x = 'typed while the panel came' " * 3
    editor.press_sequentially(text, delay=20)
    ran.page.evaluate("() => window.running")
    source = ran.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.model.cells.get(3).sharedModel.getSource()"
    )
    assert source.rstrip("'").count("typed while the panel came") == 3


def test_the_saved_notebook_is_small(ran: Notebook) -> None:
    text = ran.save()
    assert "application/vnd.jupyter.widget-view+json" in text
    assert len(text) / 2 < 20_000  # two panels
    assert "widget-state" not in json.loads(text)["metadata"]


def test_a_reload_with_a_live_kernel_brings_everything_back(ran: Notebook) -> None:
    ran.save()
    ran.open()
    ran.panel().get_by_text("2 of 33 modules block it", exact=False).wait_for()
    ran.panel().scroll_into_view_if_needed()
    ran.panel().locator("iframe.od-netron[data-status=ok]").wait_for(state="attached")
    assert ran.graph().locator("g.od-mark").count() == 2


def test_no_request_leaves_the_server_and_no_script_fails(ran: Notebook) -> None:
    assert ran.outside() == []
    assert ran.errors == []


def test_without_a_kernel_the_report_is_there(lab: Server, context: Any) -> None:
    report = "display(HTML(shown.saved('<b>the static report</b>')))"
    opened = Notebook(
        lab,
        context,
        "report.ipynb",
        SETUP,
        "shown = panel(FakeSession(pause=0.0))\ndisplay(shown)\nd = shown.run()\n" + report,
    )
    opened.run(0)
    opened.run(1)
    opened.panel().wait_for()
    assert not opened.page.get_by_text("the static report", exact=True).is_visible()
    opened.save()
    opened.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown()"
    )
    opened.page.reload()
    opened.page.get_by_text("the static report", exact=True).wait_for()
    opened.page.close()


def test_a_real_session_finds_the_line_in_the_cell(
    lab: Server, context: Any, screenshots: Path
) -> None:
    opened = Notebook(lab, context, "real.ipynb", SETUP, REAL)
    opened.run(0)
    opened.run(1)
    panel = opened.panel()
    panel.scroll_into_view_if_needed()
    assert "torch.linalg.qr(x)[0].sum()" in panel.locator("mark.od-line").inner_text()
    assert panel.locator(".od-source figcaption").inner_text() == "Cell In[2]:6"
    assert panel.locator(".od-source pre").inner_text().count("\n") >= 3
    panel.locator("iframe.od-netron[data-status=ok]").wait_for(state="attached")
    assert opened.graph().locator("g.od-mark").count() == 1
    assert panel.get_by_role("button", name="Split here").is_disabled()
    trials = int(panel.get_by_role("tab", name="Steps").locator(".od-badge").inner_text())
    panel.get_by_role("button", name="Try alone").click()
    panel.get_by_text(f"{trials + 1} trials").wait_for()
    opened.page.screenshot(path=screenshots / "lab_real.png")
    assert opened.errors == []
    opened.page.close()


def test_the_magic_shows_the_panel_and_hides_the_report(
    lab: Server, context: Any, screenshots: Path
) -> None:
    opened = Notebook(lab, context, "magic.ipynb", "%load_ext onnx_debug", MAGIC, "_")
    opened.run(0)
    opened.run(1)
    opened.panel().scroll_into_view_if_needed()
    assert "torch.linalg.qr(x)[0].sum()" in opened.panel().locator("mark.od-line").inner_text()
    beside = opened.page.locator(".jp-OutputArea-child:has(.onnx-debug-saved)")
    assert beside.count() == 1
    assert not beside.is_visible()
    opened.panel().locator("iframe.od-netron[data-status=ok]").wait_for(state="attached")
    opened.page.screenshot(path=screenshots / "lab_magic.png")
    assert len(opened.save()) < 24_000
    opened.run(1)  # the panel of the last run goes
    opened.panel().locator("mark.od-line").wait_for()
    assert opened.page.locator(".od-panel").count() == 1
    opened.run(2)
    opened.page.locator(".jp-Cell").nth(2).locator(".onnx-debug").wait_for()
    assert opened.errors == []
    opened.page.close()


def test_a_kernel_that_is_restarted_is_said(lab: Server, context: Any, screenshots: Path) -> None:
    opened = Notebook(lab, context, "restart.ipynb", SETUP, LIVE.replace("1000", "60"))
    opened.run(0)
    opened.run(1)
    panel = opened.panel()
    panel.get_by_role("button", name="Try alone").wait_for()
    opened.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.restart()"
    )
    panel.get_by_text("The kernel was restarted; run the cell again to try modules.").wait_for()
    assert panel.get_by_role("button", name="Try alone").count() == 0
    opened.page.screenshot(path=screenshots / "lab_restarted.png")
    assert opened.errors == []
    opened.page.close()


def test_the_magic_can_wait_for_the_first_step(
    lab: Server, context: Any, screenshots: Path
) -> None:
    cell = MAGIC.replace("%%onnx_export", "%%onnx_export --step")
    opened = Notebook(lab, context, "step.ipynb", "%load_ext onnx_debug", cell)
    opened.run(0)
    opened.run(1)
    panel = opened.panel()
    panel.get_by_text("not examined yet").wait_for()
    assert panel.get_by_role("treeitem").count() == 4
    opened.page.screenshot(path=screenshots / "lab_step.png")
    panel.get_by_role("button", name="Step").click()
    panel.get_by_text("1 trial ·").wait_for()
    panel.get_by_text("The search is paused", exact=False).wait_for()
    opened.page.screenshot(path=screenshots / "lab_paused.png")
    panel.get_by_role("button", name="Run").click()
    panel.get_by_text("1 (Shift) stops the export at translate", exact=False).wait_for()
    panel.get_by_role("button", name="Search again").wait_for()
    opened.page.close()


def test_a_fix_goes_into_a_new_cell_below(lab: Server, context: Any, screenshots: Path) -> None:
    opened = Notebook(lab, context, "fixed.ipynb", SETUP, FIXED, "'the last cell'")
    opened.run(0)
    opened.run(1)
    insert_the_fix(opened)
    opened.page.screenshot(path=screenshots / "lab_fixes.png")
    opened.page.close()


def insert_the_fix(opened: Notebook) -> None:
    """The Fixes tab is open by itself where no layer is to blame; its code becomes the cell below the panel's."""
    before = opened.page.evaluate(CELLS)
    panel = opened.panel()
    panel.get_by_role("tab", name="Fixes", selected=True).wait_for()
    panel.get_by_role("button", name="Insert below").click()
    panel.get_by_role("button", name="Inserted below").wait_for()
    after = opened.page.evaluate(CELLS)
    assert after == [*before[:2], samples.RENAME.code, *before[2:]]


def test_notebook_7_shows_the_panel(tmp_path: Path, context: Any, screenshots: Path) -> None:
    with serve(tmp_path, "notebook") as server:
        opened = Notebook(
            server, context, "seven.ipynb", SETUP, LIVE.replace("1000", "60"), "str(shown.selected)"
        )
        opened.run(0)
        opened.run(1)
        opened.panel().locator('[data-fqn="blocks.3.extra"]').click()
        opened.panel().get_by_role("tab", name="Graph").click()
        opened.graph().locator("g.graph-node.select.od-mark").wait_for(state="attached")
        opened.page.screenshot(path=screenshots / "notebook7.png")
        opened.becomes(2, "'blocks.3.extra'")
        assert opened.outside() == []
        assert re.match(r"http://127", opened.page.url)
        opened.page.close()
        fixed = Notebook(server, context, "fixed.ipynb", SETUP, FIXED, "'the last cell'")
        fixed.run(0)
        fixed.run(1)
        insert_the_fix(fixed)
        fixed.page.close()
