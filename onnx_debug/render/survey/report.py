"""A survey as text, as Markdown and as HTML: the same parts, laid out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from onnx_debug.data.survey import Answer, Combination, Survey
from onnx_debug.render.html import style
from onnx_debug.render.markup import Markup, tag
from onnx_debug.render.messages import shorten
from onnx_debug.render.survey import sums
from onnx_debug.render.tables import table
from onnx_debug.render.words import plural

_MOST_NAMED = 6  # models of one cause that are named
_LISTED = 8  # causes and changes in the text
Link = Callable[[Combination, str], str]


@dataclass(frozen=True)
class _Table:
    """A table with its title; what stands below it when it has no rows."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    empty: str = ""


def text(s: Survey) -> str:
    """The survey in a few lines."""
    changed = (
        f"  {kind}: {change.now.combination}: {sums.title(change.now)}"
        for kind, change in sums.changes(s)[:_LISTED]
    )
    shared = (
        f"  {plural(len(cause.cases), 'model')}  {cause.stage}: {_cause(cause)}"
        for cause in sums.causes(s)[:_LISTED]
    )
    return "\n".join((sums.summary(s), *changed, *shared))


def markdown(s: Survey) -> str:
    """The survey as Markdown."""
    anchors = sums.anchors(s)

    def link(one: Combination, words: str) -> str:
        return f"[{words}](#{anchors[one]})" if one in s.by_combination else words

    parts = ["# Survey", sums.summary(s), f"Versions: {_versions(s)}."]
    for part in _tables(s, link):
        parts += [f"## {part.title}", _markdown_table(part) if part.rows else part.empty]
    parts.append("## Answers")
    for answer in s.answers:
        one = answer.combination
        parts.append(f'<a id="{anchors[one]}"></a>\n\n### {one}')
        parts.append(_fenced(sums.words(answer)))
    return "\n\n".join(parts) + "\n"


def page(s: Survey) -> str:
    """The survey as one static HTML page without scripts."""
    anchors = sums.anchors(s)

    def link(one: Combination, words: str) -> str:
        return tag("a", words, href=f"#{anchors[one]}") if one in s.by_combination else words

    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", "onnx_debug: survey"),
        tag("style", style()),
    )
    kind, mark = ("good", "✓") if s.ok else ("bad", "✗")
    verdict = tag(
        "header",
        tag("span", mark, class_="mark"),
        tag("div", tag("h2", sums.summary(s)), tag("p", _versions(s))),
        class_=f"verdict {kind}",
    )
    section = tag(
        "section",
        verdict,
        (_html_table(part) for part in _tables(s, link)),
        tag("h3", "Answers"),
        (_details(answer, anchors[answer.combination]) for answer in s.answers),
        class_="onnx-debug",
    )
    body = tag("body", section, class_="onnx-debug-page")
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _tables(s: Survey, link: Link) -> Iterator[_Table]:
    """What changed, what the models share, which model exports where."""
    if s.changes:
        yield _Table(
            "What changed since the run before",
            ("", "export", "now", "before"),
            [
                (
                    str(kind),
                    link(change.now.combination, str(change.now.combination)),
                    shorten(sums.title(change.now), 120),
                    shorten(sums.title(change.before), 120),
                )
                for kind, change in sums.changes(s)
            ],
            "Nothing: each answer is as before.",
        )
    yield _Table(
        "Causes",
        ("models", "modules", "which", "stage", "why", "line"),
        [_cause_row(cause) for cause in sums.causes(s)],
        "No export fails.",
    )
    titles, found = sums.columns(s), s.by_combination
    yield _Table(
        "Which model exports where",
        ("model", *titles.values(), *(("why not",) if len(titles) == 1 else ())),
        [(case, *_cells(s, case, link, found)) for case in sums.cases(s)],
    )


def _cause_row(cause: sums.Cause) -> tuple[str, ...]:
    numbers = (str(len(cause.cases)), str(cause.modules))
    lines, named = _first_of(cause.lines, 2), _first_of(cause.cases, _MOST_NAMED)
    return (*numbers, named, cause.stage, shorten(cause.why, 100), lines)


def _first_of(names: tuple[str, ...], most: int) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _cells(s: Survey, case: str, link: Link, found: dict[Combination, Answer]) -> Iterator[str]:
    titles = sums.columns(s)
    for dynamo, opset in titles:
        one = Combination(case, dynamo, opset)
        yield link(one, sums.mark(found.get(one)))
    if len(titles) == 1:
        answer = found.get(Combination(case, *next(iter(titles))))
        bad = answer is not None and not (answer.diagnosis is not None and answer.diagnosis.ok)
        yield shorten(sums.title(answer), 140) if answer is not None and bad else ""


def _cause(cause: sums.Cause) -> str:
    at = f" ({_first_of(cause.lines, 1)})" if cause.lines else ""
    return f"{cause.why}{at}: {_first_of(cause.cases, _MOST_NAMED)}"


def _versions(s: Survey) -> str:
    return ", ".join(f"{name} {version}" for name, version in s.versions.items())


def _markdown_table(part: _Table) -> str:
    lines = [part.columns, ("---",) * len(part.columns), *part.rows]
    return "\n".join(_row(line) for line in lines)


def _row(cells: Sequence[str]) -> str:
    clean = (" ".join(cell.replace("|", "\\|").split()) for cell in cells)
    return f"| {' | '.join(clean)} |"


def _fenced(words: str) -> str:
    fence = "```"
    while fence in words:
        fence += "`"
    return f"{fence}text\n{words}\n{fence}"


def _html_table(part: _Table) -> tuple[Markup, Markup | None]:
    return tag("h3", part.title), table(part.columns, part.rows) or tag("p", part.empty)


def _details(answer: Answer, anchor: str) -> Markup:
    summary = tag("summary", f"{sums.mark(answer)} {answer.combination}")
    # A link to what is inside opens it.
    return tag("details", summary, tag("pre", sums.words(answer), id=anchor), class_="fold")
