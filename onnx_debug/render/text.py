"""A diagnosis in at most 12 lines of text: path first, next step last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from onnx_debug.data.culprit import Culprit
from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.failure import Source
from onnx_debug.data.stage import Stage
from onnx_debug.render.messages import first_line, shorten
from onnx_debug.render.reasons import cause, clue_of, why
from onnx_debug.render.verdict import MARKS, headline, next_step, part_way
from onnx_debug.render.voice import PYTHON, Voice
from onnx_debug.render.words import (
    CellName,
    agreement,
    culprit_title,
    edge_words,
    effort,
    guilty_lines,
    module_name,
    place,
    proven,
    seen,
    tensor,
    tried,
    unproven,
    written,
)

MOST_LINES = 12
_LISTED = 4  # culprits that get a line of their own
_WIDTH = 170
_WIDEST_LABEL = 28  # longer ones (a path in site-packages) are not worth aligning with
_SHORTEST_REASON = 30  # where place and reason share a line


def render(d: Diagnosis, cell_name: CellName | None = None, voice: Voice = PYTHON) -> str:
    """The diagnosis as text.

    Args:
        d: what was found.
        cell_name: what to call a file that is a notebook cell ("Cell In[5]"); None for any other
            file.
        voice: how the next step names what the reader has at hand.
    """
    body = [shorten(line, _WIDTH) for line in (*_body(d, cell_name), *_proof(d))]
    end = _ending(d, voice)
    lines = [f"{MARKS[d.verdict]} {headline(d)}", *body[: MOST_LINES - 1 - len(end)], *end]
    return "\n".join(" ".join(line.splitlines()) for line in lines)


def _body(d: Diagnosis, cell_name: CellName | None) -> Iterator[str]:
    if d.failure is None:
        yield from _exported(d, cell_name)
    elif d.request:
        yield from _message(d, d.failure.message)
    elif len(d.culprits) == 1:
        yield from _rows([*_facts(d.culprits[0], cell_name), *seen(d)])
    elif d.culprits:
        yield from _several(d, cell_name)
        yield from _rows(seen(d)[:1])
    else:
        clue = clue_of(d.failure, "")
        yield from _rows(
            _lines((clue.source, *clue.below) if clue and clue.source else (), cell_name)
        )
        yield from _message(d, d.failure.message)


def _message(d: Diagnosis, message: str) -> Iterator[str]:
    """The exception's own words, where the headline has not quoted them."""
    line = first_line(message)
    if line and line not in headline(d):
        yield f"  It says: {line}"


def _exported(d: Diagnosis, cell_name: CellName | None) -> Iterator[str]:
    if d.comparisons:
        inputs = len({row.input_index for row in d.comparisons})
        yield f"  Compared with eager on {inputs} input set{'' if inputs == 1 else 's'}: {agreement(d.comparisons)} ({effort(d)})."
    yield from (
        f"  {row.subject} {row.asked}: {tried(row)}."
        for row in d.asked[:4]
        if row.works or row.rejected
    )
    yield from (f"  Differs at an edge: {edge_words(edge, cell_name)}." for edge in d.edges[:3])
    if got := written(d):
        yield f"  {got}"


def _facts(culprit: Culprit, cell_name: CellName | None) -> list[tuple[str, str]]:
    """Label and value of what is known of one culprit."""
    rows = _lines(guilty_lines(culprit), cell_name)
    if culprit.inputs:
        rows.append(("inputs", ", ".join(tensor(info) for info in culprit.inputs)))
    if culprit.aliases:
        rows.append(("also called", ", ".join(culprit.aliases)))
    return rows


def _lines(sources: tuple[Source, ...], cell_name: CellName | None) -> list[tuple[str, str]]:
    """The guilty line, and the deepest line it leads to."""
    ends = dict.fromkeys((*sources[:1], *sources[-1:]))
    return [(place(source, cell_name), source.text) for source in ends]


def _rows(rows: list[tuple[str, str]], indent: str = "  ") -> Iterator[str]:
    width = max((len(label) for label, _ in rows if len(label) <= _WIDEST_LABEL), default=0)
    for label, value in rows:
        yield f"{indent}{label:<{width}}  {value}".rstrip()


def _several(d: Diagnosis, cell_name: CellName | None) -> Iterator[str]:
    """The first culprit in full, a few in one line each, the rest counted by class."""
    listed = d.culprits[:_LISTED] if len(d.culprits) > _LISTED + 1 else d.culprits
    names = [module_name(culprit.fqn, d.model_class) for culprit in listed]
    wide, wider = max(map(len, names)), max(len(culprit.class_name) for culprit in listed)
    for rank, (name, culprit) in enumerate(zip(names, listed, strict=True), 1):
        line = f"  {rank}  {name:<{wide}}  {culprit.class_name:<{wider}}  "
        if rank == 1:
            yield f"{line}{why(culprit)} [{cause(culprit).code}]"
            yield from _rows(_facts(culprit, cell_name), "     ")
        else:
            where = "".join(
                f"   {place(source, cell_name)}" for source in guilty_lines(culprit)[:1]
            )
            end = f" [{cause(culprit).code}]{where}"
            room = max(_SHORTEST_REASON, _WIDTH - len(line) - len(end))
            yield f"{line}{shorten(why(culprit), room)}{end}"
    yield from _rest(d.culprits[len(listed) :])


def _rest(culprits: tuple[Culprit, ...]) -> Iterator[str]:
    """`+ 14 more like encoder.layers.0 (EncodecConv1d)`, the commonest classes first."""
    counts = Counter(culprit.class_name for culprit in culprits)
    for class_name, count in counts.most_common(2):
        example = next(culprit for culprit in culprits if culprit.class_name == class_name)
        yield (
            f"  + {count} more like {culprit_title(example, class_name)}"
            if count > 1
            else f"  + {culprit_title(example, class_name)}"
        )
    others = sum(count for _, count in counts.most_common()[2:])
    if others:
        yield f"  + {others} of other classes"


def _proof(d: Diagnosis) -> Iterator[str]:
    if d.failure is None:
        yield from (f"  Note: {note}" for note in d.notes[:3])
        return
    shown = proven(d)
    if d.failure.stage is Stage.EAGER:
        return
    yield f"  Proven: {shown} ({effort(d)})." if shown else f"  Tried: {effort(d)}."
    yield from (f"  Not proven: {line}" for line in unproven(d)[:2])
    if further := part_way(d):
        yield f"  Further, no fix: {further}."
    yield from (f"  Note: {note}" for note in d.notes[:2])


def _ending(d: Diagnosis, voice: Voice) -> list[str]:
    """The next step. Code that can be pasted stands below it, as far as there is room."""
    step = next_step(d, voice)
    if not step:
        return []
    code = (
        d.fixes[0].code.strip("\n").splitlines()
        if d.fixes and (d.request or not d.culprits)
        else []
    )
    return [f"  Next: {step}", *(f"    {line}" for line in code[:6])]
