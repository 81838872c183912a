"""Netron inside a page of ours, opened from disk: drawn, deaf to the network, obedient, harmless."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from onnx_debug.onnx_file import display
from onnx_debug.render.page import bundle, netron
from tests.ui.graph_alone import document

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="parent.hacked=1">'
OK = "iframe.od-netron[data-status=ok]"


def model(length: int = 6, name: str = "node{}") -> display.Graph:
    nodes = [
        helper.make_node("Relu", [f"v{i}"], [f"v{i + 1}"], name=name.format(i))
        for i in range(length)
    ]
    nodes[2].CopyFrom(
        helper.make_node(
            "BadQr", ["v2"], ["v3"], name="placeholder", domain="onnx_debug", module="blocks.7"
        )
    )
    ends = [
        helper.make_tensor_value_info(value, TensorProto.FLOAT, [2, 4])
        for value in ("v0", f"v{length}")
    ]
    return display.display(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:])))


def frame(page: Any) -> Any:
    page.wait_for_selector(OK)
    return page.frame_locator("iframe.od-netron")


def test_it_draws_and_asks_nobody(open_page: Callable[..., Any]) -> None:
    page = open_page(document(model()))
    assert frame(page).locator("g.graph-node").count() == 6
    assert [url for url in page.requests if not url.startswith(("file:", "blob:"))] == []
    assert page.errors == []


def test_it_still_opens_when_the_release_is_old(open_page: Callable[..., Any]) -> None:
    page = open_page(document(model()), later=True)
    assert frame(page).locator("g.graph-node").count() == 6


def test_the_oldest_supported_netron_draws_too(
    open_page: Callable[..., Any], oldest_netron: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "package", lambda: oldest_netron)
    bundle.bundle.cache_clear()
    try:
        html = document(model(), selected=["node4"], marks={"placeholder": "#b3400b"})
    finally:
        bundle.bundle.cache_clear()
    page = open_page(html, later=True)
    view = frame(page)
    view.locator('[id="node-name-node4"].select').wait_for(state="attached")
    view.locator('[id="node-name-node1"] .node-item-type').click()
    view.locator("#sidebar-title").wait_for()
    assert view.locator("g.od-mark").count() == 1
    assert [url for url in page.requests if not url.startswith(("file:", "blob:"))] == []


def test_selected_and_marked_nodes_show(open_page: Callable[..., Any]) -> None:
    page = open_page(document(model(), selected=["node4"], marks={"placeholder": "#b3400b"}))
    view = frame(page)
    view.locator("g.graph-node.select").wait_for(state="attached")
    assert view.locator("g.graph-node.select").get_attribute("id") == "node-name-node4"
    assert view.locator("g.od-mark").get_attribute("id") == "node-name-placeholder"


def test_pale_marks_carry_dark_text(open_page: Callable[..., Any]) -> None:
    view = frame(open_page(document(model(), marks={"node1": "#f16913", "node4": "#8c2d04"})))
    view.locator("g.od-mark").nth(1).wait_for(state="attached")
    fill = "e => getComputedStyle(e).fill"
    assert (
        view.locator('[id="node-name-node1"] .node-item-type text').evaluate(fill)
        == "rgb(31, 35, 40)"
    )
    assert (
        view.locator('[id="node-name-node4"] .node-item-type text').evaluate(fill)
        == "rgb(255, 255, 255)"
    )


def test_marks_survive_a_new_drawing(open_page: Callable[..., Any]) -> None:
    page = open_page(document(model(), marks={"placeholder": "#b3400b"}))
    view = frame(page)
    view.locator("g.od-mark").wait_for(state="attached")
    view.locator("body").evaluate("() => window.__view__.toggle('names')")
    view.locator("g.graph-node").get_by_text("node4").wait_for()
    view.locator("g.od-mark").wait_for(state="attached")


def test_a_click_selects(open_page: Callable[..., Any]) -> None:
    page = open_page(document(model()))
    view = frame(page)
    view.locator('[id="node-name-node1"] .node-item-type').click()
    view.locator("#sidebar-title").wait_for()
    assert view.locator("g.graph-node.select").get_attribute("id") == "node-name-node1"


def test_dark_is_ours_to_decide(open_page: Callable[..., Any]) -> None:
    page = open_page(document(model(), dark=True), color_scheme="light")
    view = frame(page)
    assert (
        view.locator(".edge-path").first.evaluate("e => getComputedStyle(e).stroke")
        == "rgb(136, 136, 136)"
    )


def test_the_layout_runs_where_workers_are_forbidden(open_page: Callable[..., Any]) -> None:
    html = document(model()).replace("worker-src blob:", "worker-src 'none'")
    assert frame(open_page(html)).locator("g.graph-node").count() == 6


def test_typing_elsewhere_loses_no_key_while_it_loads(open_page: Callable[..., Any]) -> None:
    html = document(model(300)).replace(
        '<div id="app">', '<input id="cell" autofocus><div id="app">'
    )
    page = open_page(html)
    text = "torch.onnx.export " * 4
    page.locator("#cell").press_sequentially(text, delay=15)
    frame(page)
    page.keyboard.type("end")
    assert page.locator("#cell").input_value() == text + "end"


def test_names_from_the_model_are_never_markup(open_page: Callable[..., Any]) -> None:
    page = open_page(document(model(name=HOSTILE + "{}"), name=HOSTILE, options={"names": True}))
    view = frame(page)
    view.locator("g.graph-node .node-item-type").first.click()
    view.locator("#sidebar-title").wait_for()
    assert page.evaluate("window.hacked") is None
    assert [url for url in page.requests if not url.startswith(("file:", "blob:"))] == []


def test_without_a_viewer_there_is_a_list(
    open_page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> bundle.Bundle:
        raise bundle.NetronChangedError("netron 99: view.js has a form unknown")

    monkeypatch.setattr(netron, "bundle", refuse)
    page = open_page(document(model()))
    assert "form unknown" in page.get_by_role("status").inner_text()
    page.get_by_role("button", name="node4").click()
    assert page.locator("li.od-selected").count() == 1


def test_a_viewer_that_fails_in_the_browser_leaves_a_list(open_page: Callable[..., Any]) -> None:
    broken = display.Graph(b"not a model", model().nodes, 6, frozenset())
    page = open_page(document(broken))
    page.locator(".od-nodes li").first.wait_for()
    assert page.locator(".od-nodes li").count() == 6


def test_every_copy_carries_the_notices() -> None:
    html = document(model())
    assert "Copyright (c) Lutz Roeder" in html
    assert "Chris Pettitt" in html
    assert "MIT License" in html


def test_weights_stay_at_home(open_page: Callable[..., Any]) -> None:
    proto = onnx.load_from_string(model().model)
    proto.graph.initializer.append(
        helper.make_tensor(
            "w", TensorProto.FLOAT, [500_000], b"\x01\x02\x03\x04" * 500_000, raw=True
        )
    )
    assert len(document(display.display(proto))) < 400_000
