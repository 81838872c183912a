"""`onnx-debug survey`: what it takes, and how it tells what it does."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

from onnx_debug.data.errors import CaseError, OnnxDebugError
from onnx_debug.data.stage import Verdict
from onnx_debug.data.survey import Answer, Survey
from onnx_debug.frontends.options import unknown_option
from onnx_debug.frontends.progress_line import terminal_writer
from onnx_debug.render.survey.sums import mark
from onnx_debug.session.case_file import CaseFileError

_EPILOG = """A file of cases has a dict CASES from a name to a function that returns
(model, args[, kwargs[, export options]]), or has such functions itself. What the
--db file knows is not asked again, unless the code of the case or a version has
changed: Ctrl-C keeps what is there, and the same command goes on.

exit status: 0 all export, 1 some do not, 2 the call was wrong, 3 nobody knows of some"""


class _Parser(argparse.ArgumentParser):
    """One line for what is wrong with a call."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help shows the options)\n")


class Tally:
    """Turns answers into a line: how many there are, how many pass, and the latest."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write, self._began = write, time.monotonic()

    def __call__(self, answer: Answer, known: int, total: int) -> None:
        """Show this answer."""
        spent = f"{time.monotonic() - self._began:.0f} s"
        self._write(
            f"onnx_debug: {known} of {total} · {spent} · {answer.combination}: {mark(answer)}"
        )


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit status."""
    parser = _parser()
    options, extra = parser.parse_known_args(arguments)
    if extra:
        parser.error(unknown_option(extra, parser))
    db = options.db or Path(f"{Path(options.cases).stem}.survey.db")
    write = terminal_writer()
    try:
        for file in (db, options.html, options.markdown):
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened:
            executor = _cluster(options.dask, opened) if options.dask else None
            found = _ask(options, db, executor, None if options.quiet else Tally(write))
        write("")
        _write_pages(found, options)
    except (OnnxDebugError, CaseFileError, OSError) as error:
        write("")
        parser.exit(2, f"{parser.prog}: {error}\n")
    print(found)  # noqa: T201 - a command line prints
    return _status(found)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="onnx-debug survey",
        description="Diagnose many models, over exporters and opsets, each in a process of its own.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("cases", metavar="CASES.py", help="a file of cases")
    add("only", nargs="*", metavar="NAME", help="cases of it; all unless named")
    add(
        "--exporter",
        action="append",
        choices=("dynamo", "legacy"),
        help="By this exporter; once for each. dynamo unless told.",
    )
    add(
        "--opset",
        action="append",
        type=int,
        metavar="N",
        help="For this opset; once for each. The exporter's own unless told.",
    )
    add("--jobs", type=_positive, metavar="N", help="How many at once; half the cores unless told.")
    add(
        "--dask",
        metavar="ADDRESS",
        help="Ask the workers of a dask.distributed cluster, as in tcp://host:8786.",
    )
    add(
        "--timeout",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="Time limit of one diagnosis; 300 unless told.",
    )
    add("--memory", type=float, metavar="GB", help="Memory limit of one diagnosis.")
    add("--fixes", action="store_true", help="Also look for changes that help; takes longer.")
    add(
        "--db",
        type=Path,
        metavar="FILE",
        help="Where answers are kept; CASES.survey.db unless told.",
    )
    add("--html", type=Path, metavar="PAGE", help="Write a page that sums up.")
    add("--markdown", type=Path, metavar="PAGE", help="The same as Markdown.")
    add("-q", "--quiet", action="store_true", help="Show no progress.")
    return parser


def _positive(said: str) -> int:
    number = int(said)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _cluster(address: str, opened: ExitStack) -> Executor:
    try:
        from distributed import Client
    except ImportError as error:
        raise CaseError(
            "--dask needs the package distributed: pip install onnx-debug[cluster]"
        ) from error
    try:
        client: Any = opened.enter_context(Client(address, timeout=10))
    except (OSError, ValueError) as error:
        raise CaseError(f"no dask scheduler answers at {address}") from error
    executor: Executor = client.get_executor()
    return executor


def _ask(
    options: argparse.Namespace, db: Path, executor: Executor | None, tally: Tally | None
) -> Survey:
    from onnx_debug.session.survey.survey import survey

    return survey(
        options.cases,
        exporters=options.exporter or ("dynamo",),
        opsets=options.opset or (None,),
        only=options.only,
        executor=executor,
        jobs=options.jobs,
        db=db,
        timeout=options.timeout,
        memory_limit=None if options.memory is None else int(options.memory * 1e9),
        fixes=options.fixes,
        on_answer=tally,
    )


def _write_pages(found: Survey, options: argparse.Namespace) -> None:
    if options.html:
        found.save_html(options.html)
    if options.markdown:
        options.markdown.write_text(found.to_markdown(), encoding="utf-8")


def _status(found: Survey) -> int:
    if found.ok:
        return 0
    return 1 if found.verdicts[Verdict.FAILED] else 3
