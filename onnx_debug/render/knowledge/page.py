"""What is known of one kind of failure, to be read: as text for a terminal, and as Markdown for the site."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import asdict

from onnx_debug.render.knowledge.catalogue import BY_CODE, GROUPS, near
from onnx_debug.render.knowledge.entry import Entry
from onnx_debug.render.voice import PYTHON

_WIDTH = 96
# What a cure says where no failure is at hand.
_ANY = {
    **asdict(PYTHON),
    "call": "<namespace>.<name>.<overload>",
    "opset": "<the opset named>",
    "this": "this line",
}
_HEAD = """# Errors

What `onnx_debug` knows of failing exports: one entry a code, as reports show it (`[OD101]`). `onnx-debug explain OD101`,
`onnx_debug.meaning("OD101")` and `%onnx_explain OD101` print the same. To find an entry, search this page for a piece of the
message of torch or ONNX Runtime, without names and numbers. What an entry advises is untried; a *fix* in a report was tried.

Written by `python -m docs.errors`; the entries stand in `onnx_debug/render/knowledge/`.
"""


def text(code: str) -> str:
    """The page of one code. An unknown code: one line, with those that look most like it.

    Args:
        code: as a report shows it; capitals and brackets do not matter.
    """
    wanted = code.strip().strip("[]").upper()
    entry = BY_CODE.get(wanted)
    if entry is None:
        return f"There is no code {wanted}; near it are {', '.join(near(wanted))}."
    lines = [f"{entry.code}  {_sentence(entry.title)}", "", *_wrapped(entry.cause), ""]
    for label, said in _facts(entry, {}):
        lines += textwrap.wrap(
            f"{label}: {said}", _WIDTH, subsequent_indent="  ", break_long_words=False
        )
    return "\n".join(lines)


def markdown(lessons: Mapping[str, str]) -> str:
    """All entries as one page.

    Args:
        lessons: number of a notebook -> its address, from that page.
    """
    parts = [_HEAD]
    for group in sorted(GROUPS, key=lambda name: min(entry.code for entry in GROUPS[name])):
        entries = sorted(GROUPS[group], key=lambda entry: entry.code)
        parts.append(f"## {group}\n")
        parts.append(
            "".join(f"- [{one.code}](#{one.code.lower()}) {one.title}\n" for one in entries)
        )
        parts += [_section(entry, lessons) for entry in entries]
    return "\n".join(parts)


def _section(entry: Entry, lessons: Mapping[str, str]) -> str:
    lines = [f"### {entry.code}", "", f"**{_sentence(entry.title)}** {entry.cause}", ""]
    lines += [f"- *{label}*: {said}" for label, said in _facts(entry, lessons)]
    return "\n".join(lines) + "\n"


def _facts(entry: Entry, lessons: Mapping[str, str]) -> list[tuple[str, str]]:
    """Label and words of everything but the cause."""
    rows = [("What helps", entry.do.format(**_ANY))]
    if entry.legacy:
        rows.append(("With dynamo=False", entry.legacy.format(**_ANY)))
    if entry.says:
        rows.append(("The message", " / ".join(f"`{said}`" for said in entry.says)))
    if entry.lesson in lessons:
        rows.append(("Notebook", lessons[entry.lesson]))
    if entry.page:
        rows.append(("torch's page", f"<{entry.page}>"))
    return [
        (label, said if said.startswith(("`", "<", "[")) else _sentence(said))
        for label, said in rows
    ]


def _wrapped(paragraph: str) -> list[str]:
    return textwrap.wrap(paragraph, _WIDTH)


def _sentence(words: str) -> str:
    """With a capital and a full stop; names that begin with a small letter keep it."""
    begins = words.partition(" ")[0]
    start = words if not begins.isalpha() else words[:1].upper() + words[1:]
    return start if start.endswith((".", "?")) else f"{start}."
