"""The static report: self-contained, everything escaped, no scripts."""

from __future__ import annotations

from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest

from onnx_debug.data.failure import Source
from onnx_debug.data.module_info import TensorInfo
from onnx_debug.render.html import fragment, page, small
from onnx_debug.render.source import excerpt
from onnx_debug.render.verdict import headline
from tests import samples

EVIL = '<script>alert("x")</script>&'
FILE = [
    "class BadQr(nn.Module):\n",
    "\n",
    "    def forward(self, x):\n",
    f"        {samples.QR.text}\n",
    "\n",
]


class Page(HTMLParser):
    """Collects tags, and complains about elements that are not closed in order."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.open: list[str] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def text_of(document: str) -> str:
    return document.split("</style>")[1]


@pytest.mark.parametrize("name", samples.ALL)
def test_page_is_well_formed_and_asks_for_nothing(name):
    document = page(samples.ALL[name])
    parsed = Page(document)
    assert not parsed.open
    assert not {"script", "link", "img", "iframe"} & set(parsed.tags)
    assert not any(name.startswith("on") or name in ("src", "href") for name in parsed.attributes)
    assert "url(" not in document
    assert "http" not in document


def test_user_strings_are_escaped():
    failure = samples.failure(message=EVIL, details=EVIL)
    facts = {
        "inputs": (TensorInfo(EVIL, EVIL, (1,)),),
        "source": Source(EVIL, 1, EVIL, EVIL),
        "failure": failure,
    }
    culprit = samples.culprit(EVIL, EVIL, reason=EVIL, aliases=(EVIL,), **facts)
    d = samples.diagnosis(
        culprit,
        notes=(EVIL,),
        log=EVIL,
        versions={EVIL: EVIL},
        fixes=(replace(samples.FIX, title=EVIL, diff=EVIL),),
    )
    document = page(replace(d, model_class=EVIL, failure=failure))
    assert "<script" not in document
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;" in document


def test_guilty_line_is_marked_among_its_neighbours():
    source = replace(samples.QR, line=4)
    document = fragment(samples.diagnosis(samples.culprit(source=source)), read=lambda file: FILE)
    marked = document.split("<mark")[1].split("</mark>")[0]
    assert "torch.linalg.qr" in marked
    assert "def forward" in document.split("<mark")[0]


@pytest.mark.parametrize("lines", [[], ["one line\n"], ["x\n"] * 30])
def test_a_file_that_is_gone_or_has_changed_leaves_the_recorded_line(lines):
    assert excerpt(samples.QR, lambda file: lines) == [(17, samples.QR.text, True)]


def test_repeated_faults_share_a_card():
    document = fragment(samples.eighteen())
    assert document.count('class="culprit"') == 2
    assert "The same in 16 more modules" in document
    assert all(f"encoder.layers.{i}.conv" in document for i in range(17))


def test_says_what_the_text_says():
    document = text_of(fragment(samples.three()))
    for words in (
        "3 of 103 modules block it",
        "blocks.10.extra",
        "with all 3 replaced",
        "Householder",
        "9 trials",
    ):
        assert words in document


def test_stage_strip_stops_at_the_failure():
    document = text_of(fragment(samples.three()))
    assert document.count('class="passed"') == 3
    assert document.count('class="failed"') == 1
    assert document.count('class="ahead"') == 4


def test_log_errors_and_history_are_one_click_away():
    document = text_of(fragment(samples.three()))
    folded = [part.split("</details>")[0] for part in document.split('<details class="fold">')[1:]]
    assert any("[torch.onnx]" in part for part in folded)
    assert any("No ONNX function found" in part for part in folded)
    assert any("does it fail alone?" in part for part in folded)


def test_save_html_writes_one_file(tmp_path):
    path = samples.three().save_html(tmp_path / "report.html")
    assert path.read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", samples.ALL)
def test_the_small_report_is_small_whatever_was_found(name: str):
    d = samples.ALL[name]
    culprits = tuple(
        replace(c, fqn=f"{c.fqn}.{i}", reason=f"cause {i} {'x' * 200}")
        for i in range(30)
        for c in d.culprits[:2]
    )
    steps = tuple(replace(step, why="a long reason " * 9) for step in samples.steps(300))
    big = replace(
        d, culprits=culprits, trials=steps, log="line\n" * 50_000, comparisons=d.comparisons * 300
    )
    report = small(big)
    assert len(report) <= 16_000
    assert headline(big)[:60] in unescape(report)


def test_what_was_asked_is_a_table_with_the_sizes_that_were_tried():
    shown = fragment(samples.answers_wrongly())
    assert "Asked and got (1)" in shown
    assert "<td>6</td><td>1, 2</td><td>–</td>" in shown
    assert "<td>rows 2 for 3</td>" in shown


def test_differences_at_the_edges_stand_among_the_notes():
    assert "Differs at an edge: with ties: aten::sign at" in text_of(fragment(samples.exported()))


def test_a_request_at_fault_proves_nothing_about_modules():
    d = samples.diagnosis(samples.culprit(), request="opset_version: 11 is too old")
    assert "Proven" not in text_of(fragment(d))
