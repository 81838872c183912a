"""The saved page in a real browser: the whole panel, offline, by mouse, keyboard and screen reader; pictures of each state."""

from __future__ import annotations

import base64
import linecache
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbclient
import nbconvert
import nbformat
import pytest

from onnx_debug.data.comparison import Comparison, NodeError
from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.failure import Source
from onnx_debug.data.module_info import ModuleInfo
from onnx_debug.data.stage import Stage
from onnx_debug.render import html
from onnx_debug.render.page.static_page import page
from tests import samples
from tests.ui.fake_session import FakeSession, culprit, graph

pytestmark = pytest.mark.browser

SETUP = """from onnx_debug.frontends.panel.panel import panel
from onnx_debug.render.html import small
from tests.ui.fake_session import FakeSession
from IPython.display import HTML, display"""
LIVE = """shown = panel(FakeSession(pause=0.0))
display(shown)
HTML(shown.saved(small(shown.run())))"""
OK = "iframe.od-netron[data-status=ok]"
HOSTILE = '<img src=x onerror="window.hacked=1">'


SESSIONS: list[FakeSession] = []  # a session's graphs go with it


def found(nodes: int = 40, blocks: int = 6) -> Diagnosis:
    SESSIONS.append(FakeSession(nodes, pause=0.0, blocks=blocks))
    return SESSIONS[-1].run()


def wrong_numbers() -> Diagnosis:
    """A passing export but for its numbers: wrong from the ninth node on, ever more."""
    path = graph(Path(found().onnx_path).with_name("plain.onnx"), 40, placeholders=())
    rows = tuple(
        NodeError(
            f"v{i}",
            "aten::add",
            5 * 10.0 ** (i / 7 - 6.3),
            "values differ",
            "values differ" if i == 9 else "",
        )
        for i in range(9, 41)
    )
    failed = replace(
        samples.failure(Stage.COMPARE), message="output v40: 18 of 32 values differ", op=None
    )
    one = replace(
        culprit("blocks.1.norm", reason="returns wrong numbers", op=None, calls=()), failure=failed
    )
    bad = Comparison(0, "v40", "18 of 32 values differ", 0.3, 1.2, 18, 32)
    return replace(
        found(),
        onnx_path=path,
        culprits=(one,),
        failure=failed,
        comparisons=(bad,),
        node_errors=rows,
    )


def saved(d: Diagnosis) -> str:
    return page(d, html.fragment(d))


def frame(opened: Any) -> Any:
    opened.wait_for_selector(OK, state="attached")
    return opened.frame_locator("iframe.od-netron")


def tree_item(opened: Any, name: str) -> Any:
    return opened.locator(f'[role=treeitem][data-fqn="{name}"]')


def outside(opened: Any) -> list[str]:
    return [url for url in opened.requests if not url.startswith(("file:", "blob:"))]


def test_everything_is_in_the_file(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()), later=True)
    assert frame(opened).locator("g.graph-node").count() == 40
    assert "2 of 33 modules block it" in opened.locator(".od-headline").inner_text()
    assert opened.locator("mark.od-line").count() == 1
    assert (outside(opened), opened.errors) == ([], [])


def test_a_click_in_the_tree_selects_the_nodes(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()))
    view = frame(opened)
    tree_item(opened, "blocks.3").click()
    view.locator("g.graph-node.select").nth(6).wait_for(state="attached")
    assert view.locator("g.graph-node.select").count() == 7
    assert view.locator("g.graph-node.select.od-mark").count() == 1


def test_a_click_on_a_node_selects_its_module(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()))
    opened.get_by_role("tab", name="Graph").click()
    frame(opened).locator('[id="node-name-n0"] .node-item-type').click()
    item = tree_item(opened, "blocks.0.attention")
    item.wait_for()
    assert item.get_attribute("aria-selected") == "true"


def test_a_culprit_s_own_graph_is_one_click_away(
    open_page: Callable[..., Any], screenshots: Path
) -> None:
    opened = open_page(saved(found()))
    frame(opened)
    opened.get_by_role("tab", name="Graph").click()
    opened.get_by_role("button", name="Up to the failure").click()
    opened.get_by_text("what was captured of blocks.1.extra up to the failing operator").wait_for()
    frame(opened).locator('[id="node-name-linalg_qr"].od-mark').wait_for(state="attached")
    opened.screenshot(path=screenshots / "page_own_graph.png")
    opened.get_by_role("button", name="2 blocks.3.extra Bad").click()
    opened.get_by_text("what was captured of blocks.3.extra").wait_for()
    opened.get_by_role("button", name="Model", exact=True).click()
    opened.get_by_text("40 nodes").wait_for()
    assert opened.errors == []


def test_the_next_step_is_that_of_the_selected_culprit(open_page: Callable[..., Any]) -> None:
    first, other = found().culprits
    branches = replace(other, failure=samples.branch_failure(), op=None)
    d = replace(found(), culprits=(first, branches))
    opened = open_page(saved(d))
    said = opened.locator(".od-next")
    before = said.inner_text()
    assert before.startswith("Next for blocks.1.extra: ")
    opened.get_by_role("button", name="2 blocks.3.extra Bad").click()
    after = said.inner_text()
    assert after.startswith("Next for blocks.3.extra: ")
    assert after.partition(":")[2] != before.partition(":")[2]
    assert opened.get_by_text("What usually helps").count() == 0  # nothing stands there twice


def test_evidence_leads_to_its_trial(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()))
    assert "✓" not in opened.locator(".od-evidence").inner_text()
    opened.locator(".od-evidence").get_by_role("button", name="trial 2").click()
    assert opened.get_by_role("tab", name="Steps").get_attribute("aria-selected") == "true"
    assert "blocks.1.extra alone" in opened.locator("tr.od-chosen").inner_text()


def test_a_model_that_does_not_run_shows_its_error_and_inputs_and_nothing_else(
    open_page: Callable[..., Any], screenshots: Path
) -> None:
    opened = open_page(saved(samples.broken_layer()))
    shown = opened.locator(".od-scroll-page").first
    shown.get_by_text("Traceback …").wait_for()
    assert "float32" in shown.get_by_role("region", name="Inputs and outputs").inner_text()
    assert "Evidence" not in shown.inner_text()
    assert "not shown" not in shown.inner_text().lower()
    assert "mat1 and mat2" not in opened.locator(".od-why").all_inner_texts()
    opened.screenshot(path=screenshots / "page_eager_failure.png")


def test_wrong_numbers_are_a_heat_map_with_a_legend(
    open_page: Callable[..., Any], screenshots: Path
) -> None:
    opened = open_page(saved(wrong_numbers()), viewport={"width": 1600, "height": 800})
    view = frame(opened)
    view.locator("g.od-mark").nth(20).wait_for(state="attached")
    opened.screenshot(path=screenshots / "page_heat.png")
    opened.get_by_role("button", name="n8", exact=True).click()
    view.locator('[id="node-name-n8"].select').wait_for(state="attached")
    opened.get_by_text("Add “n8”: max diff 4.8e-5").wait_for()
    colours = view.locator("g.od-mark").evaluate_all(
        "nodes => nodes.map(node => node.style.getPropertyValue('--od-mark'))"
    )
    assert len(set(colours)) == 5


def test_an_innocent_module_shows_what_it_computes(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()))
    tree_item(opened, "blocks.0.mlp").click()
    assert "def forward(x: float) -> float:" in opened.locator(".od-source pre").inner_text()
    assert opened.locator("mark.od-line").count() == 0


def test_the_guilty_line_of_a_long_class_is_in_sight(open_page: Callable[..., Any]) -> None:
    session = FakeSession.__init__.__code__
    line = linecache.getline(session.co_filename, session.co_firstlineno + 25)
    one = culprit(
        "blocks.1.extra",
        source=Source(session.co_filename, session.co_firstlineno + 25, line.strip()),
    )
    opened = open_page(saved(replace(found(), culprits=(one,))))
    box, guilty = (
        opened.locator(".od-source pre").bounding_box(),
        opened.locator("mark.od-line").bounding_box(),
    )
    assert box["y"] < guilty["y"] < box["y"] + box["height"]
    assert opened.locator(".od-source pre").evaluate("pre => pre.scrollTop") > 0


def test_calls_that_differ_are_listed(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()))
    table = opened.get_by_role("region", name="Calls that differ")
    assert [row.inner_text().split() for row in table.locator("tbody tr").all()] == [
        ["1", "✗", "fails", "x", "float32[batch,", "8,", "16]", "0", "float32[batch,", "8,", "16]"],
        ["3", "x", "float32[batch,", "9,", "16]", "0", "float32[2,", "9,", "16]"],
    ]


def test_a_very_large_graph_shows_what_is_around_the_culprit(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found(4_000)))
    view = frame(opened)
    view.locator("g.graph-node.od-mark").first.wait_for(state="attached")
    opened.get_by_role("tab", name="Graph").click()
    opened.get_by_text("of 4000 nodes, around the module").wait_for()
    assert view.locator("g.graph-node").count() < 3_000


def test_find_takes_the_keyboard_into_the_graph(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()))
    view = frame(opened)
    opened.get_by_role("tab", name="Graph").click()
    opened.get_by_role("button", name="Find in the graph").click()
    view.locator("#search").wait_for()
    opened.keyboard.type("Bad")
    assert view.locator("#search").input_value() == "Bad"


def test_the_second_culprit_is_one_click_away(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()))
    opened.get_by_role("button", name="2 blocks.3.extra Bad").click()
    assert opened.locator(".od-layer h3").inner_text() == "blocks.3.extra Bad"


def test_the_tree_by_keyboard(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()))
    tree = opened.get_by_role("tree")
    tree.focus()
    for key in ("Home", "ArrowRight", "ArrowRight"):
        tree.press(key)
    active = opened.locator(".od-row.od-active")
    assert active.get_attribute("data-fqn") == "blocks.0"
    tree.press("ArrowDown")
    tree.press("m")
    assert active.get_attribute("data-fqn") == "blocks.0.mlp"
    assert tree.get_attribute("aria-activedescendant") == active.get_attribute("id")
    tree.press("Enter")
    assert active.get_attribute("aria-selected") == "true"
    tree.press("ArrowLeft")
    tree.press("ArrowLeft")
    assert tree_item(opened, "blocks.0").get_attribute("aria-expanded") == "false"


def test_search_narrows_the_tree(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()))
    opened.get_by_label("Search modules").fill("3.ext")
    assert [row.get_attribute("data-fqn") for row in opened.get_by_role("treeitem").all()] == [
        "",
        "blocks",
        "blocks.3",
        "blocks.3.extra",
    ]
    opened.get_by_label("Search modules").fill("nothing like that")
    opened.get_by_text("No module of that name").wait_for()


def test_what_was_searched_for_is_marked(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()))
    opened.get_by_label("Search modules").fill("ExTr")
    assert set(opened.locator("mark.od-hit").all_inner_texts()) == {"extr"}


def test_only_the_culprits_can_be_shown(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()))
    opened.get_by_role("button", name="✗ only").click()
    shown = [row.get_attribute("data-fqn") for row in opened.get_by_role("treeitem").all()]
    assert shown == ["", "blocks", "blocks.1", "blocks.1.extra", "blocks.3", "blocks.3.extra"]
    opened.get_by_role("button", name="✗ only").click()
    tree_item(opened, "head").wait_for()


def test_the_tree_can_be_made_wider(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()))
    bar, side = opened.get_by_role("separator"), opened.locator(".od-side-box")
    box, before = bar.bounding_box(), side.bounding_box()["width"]
    opened.mouse.move(box["x"] + 2, box["y"] + 50)
    opened.mouse.down()
    opened.mouse.move(box["x"] + 102, box["y"] + 50)
    opened.mouse.up()
    assert side.bounding_box()["width"] == pytest.approx(before + 100, abs=4)
    bar.focus()
    opened.keyboard.press("ArrowLeft")
    assert side.bounding_box()["width"] == pytest.approx(before + 80, abs=4)
    bar.dblclick()
    assert side.bounding_box()["width"] == before


CORNER = """async (picture) => {
    const image = await createImageBitmap(await (await fetch(picture)).blob());
    const canvas = new OffscreenCanvas(image.width, image.height).getContext('2d');
    canvas.drawImage(image, 0, 0);
    return [...canvas.getImageData(4, 4, 1, 1).data].slice(0, 3);
}"""


@pytest.mark.parametrize("first", ["light", "dark"])
def test_a_graph_follows_the_theme(
    open_page: Callable[..., Any], chromium: Any, first: str
) -> None:
    """A frame whose colour scheme differs from the page's gets an opaque canvas from the browser."""
    opened = open_page(saved(found()), color_scheme=first)
    opened.get_by_role("tab", name="Graph").click()
    frame(opened)
    eye = chromium.new_page()
    for scheme in ("light", "dark", first):
        opened.emulate_media(color_scheme=scheme)
        opened.wait_for_timeout(300)
        picture = base64.b64encode(opened.locator("iframe.od-netron").screenshot()).decode()
        corner = eye.evaluate(CORNER, f"data:image/png;base64,{picture}")
        assert (min(corner) > 200) if scheme == "light" else (max(corner) < 80)
    eye.close()


def test_five_thousand_modules_stay_quick(open_page: Callable[..., Any]) -> None:
    d = found(blocks=1_000)
    assert len(d.modules) > 5_000
    opened = open_page(saved(d))
    tree_item(opened, "blocks.1.extra").wait_for()
    assert opened.get_by_role("treeitem").count() < 80
    milliseconds = opened.evaluate("""() => {
        const tree = document.querySelector('[role=tree]');
        const begun = performance.now();
        for (const key of ['End', 'ArrowUp', 'Home', 'ArrowDown']) {
            tree.dispatchEvent(new KeyboardEvent('keydown', { key }));
            tree.getBoundingClientRect();
        }
        return performance.now() - begun;
    }""")
    assert milliseconds < 200


def test_tabs_by_keyboard(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()))
    opened.get_by_role("tab", name="Layer").focus()
    opened.keyboard.press("ArrowRight")
    assert opened.get_by_role("tab", name="Graph").get_attribute("aria-selected") == "true"
    opened.keyboard.press("ArrowLeft")
    opened.keyboard.press("ArrowLeft")
    assert opened.get_by_role("tab", name="Log").get_attribute("aria-selected") == "true"


def test_on_a_wide_page_the_graph_stands_beside_the_layer(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()), viewport={"width": 1600, "height": 800})
    frame(opened).locator('[id="node-name-n0"] .node-item-type').wait_for()
    assert opened.get_by_role("tab", name="Graph").count() == 0
    assert opened.locator("mark.od-line").is_visible()
    opened.set_viewport_size({"width": 900, "height": 800})
    opened.get_by_role("tab", name="Graph").click()
    opened.set_viewport_size({"width": 1600, "height": 800})
    opened.get_by_role("tab", name="Layer", selected=True).wait_for()


def test_the_log_is_raw_and_searchable(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()))
    opened.get_by_role("tab", name="Log").click()
    assert "<b>raw</b>" in opened.locator(".od-log").inner_text()
    opened.get_by_label("Search the log").fill("TRANSLATE")
    opened.get_by_text("1 of 4 lines").wait_for()


def test_fixes_and_repro_come_only_with_data(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(samples.three()))
    opened.get_by_role("tab", name="Fixes").click()
    opened.get_by_text("Use a Householder form of QR", exact=False).first.wait_for()
    assert opened.get_by_role("tab", name="Repro").count() == 0


def test_names_from_the_model_are_data(open_page: Callable[..., Any]) -> None:
    evil = culprit(
        f"blocks.{HOSTILE}", reason=HOSTILE, source=Source(HOSTILE, 1, HOSTILE), aliases=(HOSTILE,)
    )
    evil = replace(
        evil,
        class_name=HOSTILE,
        failure=replace(
            evil.failure, details=f"</script><script>window.hacked=1</script>{HOSTILE}"
        ),
    )
    infos = (ModuleInfo("", HOSTILE), ModuleInfo(evil.fqn, HOSTILE, aliases=(HOSTILE,)))
    d = replace(
        found(), culprits=(evil,), modules=infos, model_class=HOSTILE, log=HOSTILE, notes=(HOSTILE,)
    )
    opened = open_page(saved(d))
    frame(opened)
    for tab in ("Graph", "Steps", "Log", "Layer"):
        opened.get_by_role("tab", name=tab).click()
    assert opened.evaluate("window.hacked") is None
    assert (outside(opened), opened.errors) == ([], [])


def test_without_scripts_the_report_is_there(open_page: Callable[..., Any]) -> None:
    opened = open_page(saved(found()), java_script_enabled=False)
    assert "2 of 33 modules block it" in opened.locator(".onnx-debug").inner_text()


def test_a_notebook_run_by_nbconvert_shows_the_report(open_page: Callable[..., Any]) -> None:
    """It keeps the state of widgets, whose scripts an offline page cannot load."""
    cells = [nbformat.v4.new_code_cell(code) for code in (SETUP, LIVE)]
    made = nbclient.execute(
        nbformat.v4.new_notebook(cells=cells),
        timeout=120,
        kernel_name="python3",
        store_widget_state=True,
    )
    assert made.metadata.widgets
    html, _ = nbconvert.HTMLExporter().from_notebook_node(made)
    opened = open_page(html, offline=True)
    opened.get_by_text("2 of 33 modules block it").first.wait_for()


def test_a_graph_file_that_has_gone_leaves_the_rest(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    opened = open_page(saved(replace(found(), culprits=(), onnx_path=str(tmp_path / "gone.onnx"))))
    opened.get_by_role("tab", name="Graph").click()
    opened.get_by_text("There is no graph yet").wait_for()


STATES: dict[str, Callable[[], Diagnosis]] = {
    "failing": lambda: found(400),
    "one_culprit": lambda: samples.ALL["single"],
    "ok": lambda: replace(samples.exported(), onnx_path=found().onnx_path, modules=found().modules),
    "wrong_numbers": wrong_numbers,
    "empty": lambda: Diagnosis("Net"),
    "eighteen": samples.eighteen,
    "request": samples.bad_request,
    "crash": lambda: samples.ALL["crash"],
    "timeout": lambda: samples.ALL["timeout"],
    "broken_model": samples.broken_model,
    "stopped": samples.stopped,
    "nobody": samples.nobody,
    "answers_wrongly": samples.answers_wrongly,
}


@pytest.mark.parametrize("state", STATES)
def test_no_state_overflows(open_page: Callable[..., Any], screenshots: Path, state: str) -> None:
    d = STATES[state]()
    opened = open_page(saved(d))
    if d.onnx_path and Path(d.onnx_path).exists():
        frame(opened)
    for scheme in ("light", "dark"):
        opened.emulate_media(color_scheme=scheme)
        for width in (480, 1600):
            opened.set_viewport_size({"width": width, "height": 760})
            opened.wait_for_timeout(150)
            opened.screenshot(path=screenshots / f"page_{state}_{scheme}_{width}.png")
            assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.errors == []
