"""The static report in a browser: it fits narrow and wide pages, it can be read in light and dark, and it asks for nothing."""

from __future__ import annotations

from typing import Any

import pytest

from onnx_debug.render.html import page
from tests import samples

pytestmark = pytest.mark.browser

# The contrast of each text with what is behind it, after WCAG 2. Colours that are see-through let
# the next one behind count.
CONTRAST = """
() => {
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const color = channels(getComputedStyle(at).backgroundColor);
            if (color.length === 3 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    const says = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const texts = [...document.querySelectorAll('.onnx-debug *')].filter((element) => element.checkVisibility() && says(element));
    return texts.map((e) => {
        const [a, b] = [luminance(channels(getComputedStyle(e).color)), luminance(behind(e))].sort((x, y) => y - x);
        return [e.textContent.slice(0, 30), (a + 0.05) / (b + 0.05)];
    });
}
"""


@pytest.mark.parametrize("width", [480, 1600])
@pytest.mark.parametrize("name", ["three", "eighteen", "bad_request"])
def test_nothing_sticks_out(open_page: Any, name: str, width: int):
    shown = open_page(page(samples.ALL[name]), viewport={"width": width, "height": 900})
    shown.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert len(shown.requests) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["three", "exported", "not_proven"])
def test_every_text_stands_out_from_its_background(
    open_page: Any, screenshots: Any, name: str, scheme: str
):
    shown = open_page(page(samples.ALL[name]), color_scheme=scheme)
    shown.screenshot(path=screenshots / f"report_{name}_{scheme}.png", full_page=True)
    faint = [(text, round(ratio, 1)) for text, ratio in shown.evaluate(CONTRAST) if ratio < 4.5]
    assert not faint


def test_jupyterlab_s_theme_goes_before_the_reader_s(open_page: Any):
    document = page(samples.three()).replace("<body", '<body data-jp-theme-light="false"')
    shown = open_page(document, color_scheme="light")
    assert (
        shown.evaluate("getComputedStyle(document.querySelector('.onnx-debug')).colorScheme")
        == "dark"
    )


def test_the_first_culprit_is_open_and_the_log_is_one_click_away(open_page: Any):
    shown = open_page(page(samples.three()))
    assert shown.locator(".source").first.is_visible()
    log = shown.get_by_text("[torch.onnx]")
    assert not log.is_visible()
    shown.get_by_text("Exporter's log").click()
    assert log.is_visible()
