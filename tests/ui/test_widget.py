"""The panel as a notebook's front end runs it, with a kernel that is played: what it does when that is silent, busy, or gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from onnx_debug.frontends.panel.panel import panel
from onnx_debug.render.page import assets
from tests.ui.fake_session import FakeSession

pytestmark = pytest.mark.browser

PAGE = """<body><style>%s</style><div id="el"></div>
<div class="jp-OutputArea-child" id="below">[1]: <div class="onnx-debug-saved key">the static report</div></div>
<script type="module">
%s
const traits = window.traits = %s;
const heard = {};
window.sent = [];
window.kernel = %s;
const model = {
    get: (name) => traits[name],
    set() {}, save_changes() {}, off() {},
    on: (name, listener) => { heard[name] = listener; },
    send: (message) => { if (window.deaf) throw new Error('Cannot send'); window.sent.push(message.type); },
    widget_manager: window.kernel ? { kernel: window.kernel } : undefined,
};
window.change = (name, value) => { traits[name] = value; heard[`change:${name}`](); };
window.progress = (change) => window.change('progress', { ...traits.progress, ...change });
window.tell = (message) => heard['msg:custom'](message, []);
window.leave = app.render({ model, el: document.getElementById('el') });
</script>"""
KERNEL = """{
    status: 'idle', interrupt: () => window.sent.push('interrupt'), listeners: [],
    statusChanged: { connect: (f) => window.kernel.listeners.push(f), disconnect() {} },
    disposed: { connect: (f) => window.kernel.listeners.push(f), disconnect() {} },
    becomes(status) { this.status = status; this.listeners[0](this, status); },
}"""


@pytest.fixture
def widget(open_page: Callable[..., Any]) -> Callable[..., Any]:
    """`widget(steps=6, kernel="null", **progress)`: a page with a panel after so many steps."""

    def open_(steps: int = 6, kernel: str = "null", **progress: Any) -> Any:
        shown = panel(lambda: FakeSession(pause=0.0))
        for _ in range(steps):
            shown.step()
        state = shown.get_state()
        kept = {name: state[name] for name in state if name[0] != "_" and name != "layout"}
        traits = {**kept, "key": "key", "progress": {**kept["progress"], **progress}}
        code = assets.script(*assets.SCRIPTS).replace("export default", "const app =")
        parts = (code, json.dumps(traits), kernel)
        safe = (part.replace("</", "<\\/") for part in parts)
        return open_page(PAGE % (assets.style(*assets.STYLES), *safe))

    return open_


def visible_buttons(opened: Any) -> list[str]:
    shown = opened.locator(".od-drive button:visible").all_inner_texts()
    return [text.split(" ", 1)[1] for text in shown]


@pytest.mark.parametrize(
    ("steps", "progress", "buttons"),
    [
        (0, {}, ["Step", "Run"]),
        (2, {}, ["Step", "Run"]),
        (2, {"running": True}, ["Stop"]),
        (6, {}, ["Search again"]),
        (6, {"again": False}, []),
    ],
)
def test_only_buttons_that_do_something_are_there(
    widget: Any, steps: int, progress: Any, buttons: list[str]
) -> None:
    assert visible_buttons(widget(steps, **progress)) == buttons


def test_a_panel_that_nobody_answers_says_so_and_brings_the_report_back(widget: Any) -> None:
    """As in a page that nbconvert made of a notebook with its widgets' state, or such a notebook opened with another kernel."""
    opened = widget()
    assert not opened.locator("#below").is_visible()
    opened.get_by_text("The kernel does not answer; run the cell again").wait_for()
    assert opened.locator("#below").is_visible()
    assert visible_buttons(opened) == []
    assert opened.get_by_role("button", name="Try alone").count() == 0
    opened.evaluate("tell({ type: 'heard' })")
    assert visible_buttons(opened) == ["Search again"]
    assert not opened.locator("#below").is_visible()


def test_a_cell_that_runs_is_no_silence(widget: Any) -> None:
    opened = widget(2, running=True, blocking=True)
    opened.wait_for_timeout(4500)
    assert visible_buttons(opened) == ["Stop"]


def test_a_notebook_that_lets_nobody_interrupt_is_told_to_stop_and_so_is_the_user(
    widget: Any,
) -> None:
    opened = widget(2, running=True, blocking=True)
    opened.get_by_role("button", name="Stop").click()
    opened.get_by_text("press the stop button of the notebook itself").wait_for()
    assert opened.evaluate("sent.at(-1)") == "stop"


def test_stop_interrupts_where_it_can(widget: Any) -> None:
    opened = widget(2, KERNEL, running=True, blocking=True)
    opened.get_by_role("button", name="Stop").click()
    assert opened.evaluate("sent.at(-1)") == "interrupt"


@pytest.mark.parametrize(
    ("status", "said"), [("restarting", "was restarted"), ("dead", "has ended")]
)
def test_a_kernel_that_ends_is_said_and_leaves_no_button(
    widget: Any, status: str, said: str
) -> None:
    opened = widget(6, KERNEL)
    opened.evaluate("tell({ type: 'heard' })")
    opened.evaluate(f"kernel.becomes('{status}')")
    opened.get_by_text(f"The kernel {said}; run the cell again to try modules.").wait_for()
    assert visible_buttons(opened) == []
    assert opened.get_by_role("button", name="Try alone").count() == 0


def test_news_under_a_pressed_pointer_does_not_swallow_the_click(widget: Any) -> None:
    opened = widget(2)
    row = opened.locator('[data-fqn="blocks.3.extra"]')
    row.hover()
    opened.mouse.down()
    opened.evaluate("change('states', { 'blocks.3.extra': 'culprit' })")
    assert row.get_attribute("data-state") == "untried"
    opened.mouse.up()
    opened.locator('[data-fqn="blocks.3.extra"][aria-selected="true"]').wait_for()
    assert row.get_attribute("data-state") == "culprit"


def test_a_channel_that_is_closed_is_said(widget: Any) -> None:
    opened = widget()
    opened.evaluate("window.deaf = true")
    opened.get_by_role("button", name="Try alone").click()
    opened.get_by_text("The kernel is gone; run the cell again").wait_for()
    assert opened.errors == []


def test_the_answer_stands_below_the_buttons(widget: Any) -> None:
    opened = widget()
    text = "With its 4 children replaced it still fails at translate."
    opened.evaluate(
        "(text) => change('answers', { 'blocks.1.extra': { answer: 'failed', text } })", text
    )
    opened.locator("p.od-answer.od-failed", has_text=text).wait_for()


def test_nothing_jumps_while_the_search_runs(widget: Any) -> None:
    opened = widget(1, running=True)
    tops = set()
    for text in ("trying", "trying " + "a.very.long.name." * 20, ""):
        opened.evaluate("(text) => progress({ text })", text)
        for headline in ("Examining Net.", "Export stops at translate. " * 6):
            opened.evaluate("(headline) => change('view', { ...traits.view, headline })", headline)
            tops.add(opened.get_by_role("tree").bounding_box()["y"])
    assert len(tops) == 1


def test_a_view_that_goes_says_so(widget: Any) -> None:
    opened = widget()
    opened.evaluate("leave()")
    assert opened.evaluate("sent.at(-1)") == "closed"
