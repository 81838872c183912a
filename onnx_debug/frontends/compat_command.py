"""`onnx-debug compat` and `%onnx_compat`: what they take, and what they ask."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from onnx_debug.data.compatibility import Compatibility
from onnx_debug.data.errors import CaseError
from onnx_debug.data.events import Event
from onnx_debug.frontends.options import Option
from onnx_debug.frontends.progress_line import Progress, terminal_writer
from onnx_debug.session.case_file import CaseFileError, make_case

COMPAT_OPTIONS: tuple[Option, ...] = (
    (
        ("--opset",),
        {"type": int, "metavar": "N", "help": "Say what comes out of opset_version=N."},
    ),
    (
        ("--limit",),
        {
            "type": float,
            "default": 180.0,
            "metavar": "SECONDS",
            "help": "Time limit of all exports together; 180 unless told.",
        },
    ),
    (("-q", "--quiet"), {"action": "store_true", "help": "Show no progress."}),
)


def ask(
    options: argparse.Namespace, case: dict[str, Any], write: Callable[[str], None]
) -> Compatibility:
    """The report on a case (keywords of `compat`; empty: on the installation), with a line of progress."""
    from onnx_debug.session.compatibility.look import compat

    keywords = {**case, "limit": options.limit}
    if options.opset is not None:
        keywords["opset_version"] = options.opset
    if options.quiet:
        return compat(**keywords)
    with Progress(write) as progress:
        on_event: Callable[[Event], None] = progress
        return compat(**keywords, on_event=on_event)


def main(arguments: Sequence[str]) -> int:
    """The command; its exit status is 0 where nothing stands in the way, 1 where something does, 2 after a wrong call."""
    parser = argparse.ArgumentParser(
        prog="onnx-debug compat",
        description="What fits with what here, found by trying: exporters, opsets, ONNX Runtime.",
    )
    parser.add_argument(
        "what",
        nargs="?",
        metavar="FILE.onnx or FILE.py:FUNCTION",
        help="a file: does it load here; a function that returns (model, args[, kwargs[, options]]): "
        "its export over exporters and opsets; nothing: this installation",
    )
    for flags, settings in COMPAT_OPTIONS:
        parser.add_argument(*flags, **settings)
    options = parser.parse_args(arguments)
    try:
        report = ask(options, _case(options.what), terminal_writer())
    except (CaseError, CaseFileError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    print(report)  # noqa: T201 - a command line prints
    return 0 if report.ok else 1


def _case(what: str | None) -> dict[str, Any]:
    if what is None:
        return {}
    is_case = ":" in what and not Path(what).is_file()
    return make_case(what) if is_case else {"model": what}
