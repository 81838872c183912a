"""A diagnosis as static HTML without scripts: a fragment for notebooks, a page for files.

The style sheet is scoped to `.onnx-debug`, so that a notebook and the report do not meet; saved
notebooks and nbconvert keep it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib.resources import files

from onnx_debug.data.culprit import Culprit, ProofKind
from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.failure import Failure, Source
from onnx_debug.data.fix import Fix, PartWay
from onnx_debug.data.stage import Stage, StageResult
from onnx_debug.render.issue import issue_text
from onnx_debug.render.markup import Markup, join, tag
from onnx_debug.render.reasons import cause, why
from onnx_debug.render.source import ReadLines, excerpt, read_lines
from onnx_debug.render.tables import asked, comparisons, steps, table, tensors
from onnx_debug.render.text import render as render_text
from onnx_debug.render.verdict import MARKS, TONES, headline, next_step, part_way
from onnx_debug.render.words import (
    STAGE_MARKS,
    CellName,
    effort,
    guilty_lines,
    module_name,
    notes,
    number,
    place,
    plural,
    proof_words,
    proven,
    seen,
    tensor,
    unproven,
    written,
)

Place = Callable[[Source], str]
_BADGES = {
    ProofKind.ALONE: "✓ fails alone",
    ProofKind.IN_PLACE: "✓ proven in place",
    ProofKind.ANCESTOR: "✓ smallest that fails",
    ProofKind.ROOT: "✓ whole model",
    ProofKind.UNPROVEN: "? not proven",
}
LONGEST_TEXT = 60_000  # characters of a log in a report


def page(d: Diagnosis, *, read: ReadLines = read_lines) -> str:
    """The diagnosis as one self-contained HTML document."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"onnx_debug: {d.model_class}"),
    )
    body = tag("body", Markup(fragment(d, read=read)), class_="onnx-debug-page")
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def fragment(
    d: Diagnosis,
    *,
    read: ReadLines = read_lines,
    cell_name: CellName | None = None,
    longest: int = LONGEST_TEXT,
) -> str:
    """The diagnosis as one element with its own style, for the output of a notebook cell.

    Args:
        d: what was found.
        read: gives the lines of a source file.
        cell_name: what to call a file that is a notebook cell ("Cell In[5]"); None for any other
            file.
        longest: characters of a log or traceback; of a longer one the end, because what failed
            stands there. Tables and lists keep to it.
    """
    d, most = _shortened(d, longest), max(5, longest // 50)

    def where(source: Source) -> str:
        return place(source, cell_name)

    report = (
        _verdict(d),
        _stages(d),
        _culprits(d, where, read, most // 3),
        _proof(d),
        _next(d),
        _fixes(d),
        _notes(d, cell_name),
        _folded(d, most),
    )
    return tag("section", tag("style", style()), report, class_="onnx-debug")


def small(d: Diagnosis, *, cell_name: CellName | None = None, most: int = 16_000) -> str:
    """The report in `most` characters, for a notebook that is saved: ever less of logs, histories and further causes until it fits."""
    sizes = (fragment(d, cell_name=cell_name, longest=longest) for longest in (1_500, 500, 100))
    plain = tag("pre", render_text(d, cell_name)[:most])
    return next((made for made in sizes if len(made) <= most), str(plain))


def _shortened(d: Diagnosis, longest: int) -> Diagnosis:
    """The diagnosis with the ends of its logs and tracebacks."""

    def short(failure: Failure) -> Failure:
        return replace(
            failure,
            message=_end_of(failure.message, longest),
            details=_end_of(failure.details, longest),
        )

    culprits = tuple(replace(culprit, failure=short(culprit.failure)) for culprit in d.culprits)
    return replace(
        d,
        log=_end_of(d.log, longest),
        failure=short(d.failure) if d.failure else None,
        culprits=culprits,
    )


def _end_of(text: str, longest: int) -> str:
    return (
        text
        if len(text) <= longest
        else f"… {len(text) - longest:,} characters left out …\n{text[-longest:]}"
    )


@cache
def style() -> Markup:
    """The style sheet, scoped to `.onnx-debug`."""
    return Markup((files("onnx_debug.render") / "report.css").read_text(encoding="utf-8"))


def _verdict(d: Diagnosis) -> Markup:
    kind, mark = TONES[d.verdict], MARKS[d.verdict]
    exporter = "" if d.dynamo else "legacy exporter"
    about = " · ".join(
        filter(
            None,
            (
                plural(len(d.modules), "module") if d.modules else "",
                effort(d),
                exporter,
                _versions(d),
            ),
        )
    )
    return tag(
        "header",
        tag("span", mark, class_="mark"),
        tag("div", tag("h2", headline(d)), tag("p", about)),
        class_=f"verdict {kind}",
    )


def _versions(d: Diagnosis) -> str:
    return f"torch {d.versions['torch']}" if "torch" in d.versions else ""


def _stages(d: Diagnosis) -> Markup | None:
    """Every stage in order with what became of it."""
    return tag("ol", map(_stage, d.stages), class_="stages") if d.stages else None


def _stage(result: StageResult) -> Markup:
    kind, mark = STAGE_MARKS[result.state]
    said = f"{result.state}: {result.reason}" if result.reason else str(result.state)
    return tag("li", f"{result.stage} ", tag("span", mark), class_=kind, title=said)


def _culprits(d: Diagnosis, where: Place, read: ReadLines, most: int) -> Iterator[Markup | None]:
    """One card for each cause: equal faults of one class, at one line, share it. After `most` cards the rest is a list."""
    causes = _by_cause(d)
    for index, (culprit, *alike) in enumerate(causes[:most]):
        summary = tag("summary", _summary(d, culprit, where, len(alike)))
        yield tag(
            "details",
            summary,
            _culprit(culprit, where, read),
            _alike(alike),
            class_="culprit",
            open=index == 0,
        )
    rest = [
        (cause[0].fqn, cause[0].class_name, str(len(cause)), why(cause[0]))
        for cause in causes[most:]
    ]
    yield table(("module", "class", "alike", "why"), rest, 10 * most)
    if d.failure and not d.culprits:
        yield from (_source(source, where, read) for source in _lines_without_culprit(d))


def _by_cause(d: Diagnosis) -> list[list[Culprit]]:
    causes: dict[object, list[Culprit]] = {}
    for culprit in d.culprits:
        causes.setdefault((culprit.class_name, why(culprit), guilty_lines(culprit)[:1]), []).append(
            culprit
        )
    return list(causes.values())


def _alike(culprits: list[Culprit]) -> Markup | None:
    rows = [
        (c.fqn, _badge_words(c), ", ".join(tensor(info) for info in c.inputs)) for c in culprits
    ]
    return (
        _fold(
            f"The same in {plural(len(rows), 'more module')}",
            table(("module", "proof", "inputs"), rows),
        )
        if rows
        else None
    )


def _lines_without_culprit(d: Diagnosis) -> tuple[Source, ...]:
    clues = d.failure.clues if d.failure else ()
    return (clues[0].source,) if clues and clues[0].source else ()


def _summary(d: Diagnosis, culprit: Culprit, where: Place, alike: int) -> Iterator[Markup]:
    lines = guilty_lines(culprit)
    yield tag("code", module_name(culprit.fqn, d.model_class), class_="fqn")
    yield tag("span", culprit.class_name, f" and {alike} more" if alike else "", class_="kind")
    yield tag(
        "span", f"{why(culprit)} [{cause(culprit).code}]", class_="why", title=cause(culprit).title
    )
    yield tag("span", tag("span", where(lines[0]), class_="place") if lines else None, class_="at")
    tone = "open" if culprit.proof.kind is ProofKind.UNPROVEN else "good"
    yield tag("span", _badge_words(culprit), class_=f"badge {tone}", title=proof_words(culprit))


def _badge_words(culprit: Culprit) -> str:
    return _BADGES[culprit.proof.kind]


def _culprit(culprit: Culprit, where: Place, read: ReadLines) -> Iterator[Markup | None]:
    own, *below = guilty_lines(culprit) or (None,)
    if own:
        yield _source(own, where, read)
    for source in below:
        yield tag(
            "p",
            "leads to ",
            tag("code", source.text),
            " in ",
            tag("span", where(source), class_="place", title=source.file),
            class_="below",
        )
    yield tensors(culprit)
    facts = [
        proof_words(culprit),
        "its own code is at fault" if culprit.own_code else "no single child of it is at fault",
    ]
    facts += [f"recorded call {culprit.call_index + 1}"] if culprit.call_index else []
    facts += [f"also called {', '.join(culprit.aliases)}"] if culprit.aliases else []
    yield tag("p", f"Proof: {'; '.join(facts)}.", class_="facts")
    yield _fold("Its error, alone", _error(culprit.failure))


def _source(source: Source, where: Place, read: ReadLines) -> Markup:
    lines = [_line(*line) for line in excerpt(source, read)]
    caption = tag(
        "figcaption",
        tag("span", where(source), title=source.file),
        f" in {source.function}" if source.function else "",
    )
    return tag("figure", caption, tag("pre", lines), class_="source")


def _line(line_number: int, text: str, guilty: bool) -> Markup:
    content = (tag("span", str(line_number), class_="number"), text or " ", "\n")
    return tag("mark" if guilty else "span", content, class_="line")


def _proof(d: Diagnosis) -> Iterator[Markup]:
    shown = proven(d)
    if d.failure is None or d.failure.stage is Stage.EAGER:
        return
    yield from (
        tag("p", tag("b", f"{label.capitalize()}: "), said, class_="proof")
        for label, said in seen(d)
    )
    if shown:
        yield tag("p", tag("b", "Proven: "), shown, f" ({effort(d)}).", class_="proof")
    for line in unproven(d):
        yield tag("p", tag("b", "Not proven: "), line, class_="proof open")


def _next(d: Diagnosis) -> Markup | None:
    step = next_step(d)
    return tag("p", tag("b", "Next: "), step, class_="next") if step else None


def _fixes(d: Diagnosis) -> Iterator[Markup]:
    for index, fix in enumerate(d.fixes):
        checked = f"✓ exports, runs, max diff {number(fix.max_abs_diff)}"
        summary = tag("summary", tag("b", fix.title), tag("span", checked, class_="badge good"))
        yield tag(
            "details",
            summary,
            tag("p", fix.explanation),
            _change(fix),
            class_="fix",
            open=index == 0,
        )
    if further := part_way(d):
        assert d.part_way is not None
        summary = tag("summary", tag("b", further), tag("span", "no fix", class_="badge open"))
        said = tag("p", d.part_way.explanation)
        yield tag("details", summary, said, _change(d.part_way), class_="fix")


def _change(fix: Fix | PartWay) -> Iterator[Markup]:
    if fix.diff:
        yield tag("pre", (_diff_line(line) for line in fix.diff.splitlines()), class_="code")
    if fix.code:
        yield tag("pre", fix.code, class_="code")


def _diff_line(line: str) -> Markup:
    kinds = {"+": "added", "-": "removed"}
    return tag("span", line, "\n", class_=kinds.get(line[:1], ""))


def _notes(d: Diagnosis, cell_name: CellName | None) -> Iterator[Markup]:
    for note in notes(d, cell_name):
        yield tag("p", tag("b", "Note: "), note, class_="note")
    if got := written(d):
        yield tag("p", got, class_="note")


def _folded(d: Diagnosis, most: int) -> Markup:
    """What is wanted now and then: one click away. Tables have `most` rows."""
    versions = ", ".join(f"{name} {version}" for name, version in d.versions.items())
    parts = (
        _fold("Error in full", _error(d.failure)) if d.failure else None,
        _fold(f"Comparison with eager ({len(d.comparisons)})", comparisons(d, most)),
        _fold(f"Asked and got ({len(d.asked)})", asked(d, most)),
        _fold(f"Steps ({effort(d)})", steps(d, most)),
        _fold("Exporter's log", tag("pre", d.log) if d.log else None),
        _fold("A report about onnx_debug itself", tag("pre", issue_text(d)) if d.ours else None),
        _fold("Versions", tag("p", versions) if versions else None),
    )
    return tag("footer", parts)


def _fold(title: str, content: Markup | None) -> Markup | None:
    return tag("details", tag("summary", title), content, class_="fold") if content else None


def _error(failure: Failure) -> Markup | None:
    title = ": ".join(filter(None, (failure.exception_type, failure.message)))
    return (
        join(tag("pre", text) for text in dict.fromkeys((title, failure.details)) if text) or None
    )
