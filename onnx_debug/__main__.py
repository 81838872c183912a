"""The command line: a diagnosis, what fits with what (`compat`), what a code means (`explain`), many models (`survey`).

Exit status: 0 when the model exports, or with `--fix` a changed copy of it, 1 when it does not, 2 when the call was wrong, 3 when nobody
knows, because a stage could not be tried or the search was stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.errors import CaseError
from onnx_debug.data.repro import Repro
from onnx_debug.data.stage import Verdict
from onnx_debug.frontends import compat_command, survey_command
from onnx_debug.frontends.options import OPTIONS, to_keywords, unknown_option
from onnx_debug.frontends.progress_line import Progress, terminal_writer
from onnx_debug.render import text
from onnx_debug.render.knowledge import page
from onnx_debug.render.voice import COMMAND_LINE
from onnx_debug.session.case_file import CaseFileError, make_case

_DESCRIPTION = "When torch.onnx.export fails: which layer, which line, why."
_EPILOG = """examples:
  onnx-debug model.py:make --html report.html
  onnx-debug my_package.models:make --dynamic x:0=batch -o model.onnx
  onnx-debug explain OD101         what the code of a report means
  onnx-debug compat                what fits with what here; also: compat model.onnx
  onnx-debug survey cases.py       many models at once; --html sums them up

exit status: 0 it exports (with --fix: or a changed copy does), 1 it does not, 2 the call was wrong,
3 nobody knows"""


class _Parser(argparse.ArgumentParser):
    """One line for what is wrong with a call; the usage stands in `--help`."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help shows the options)\n")


# Passed and failed; 2 is a wrong call, 3 that nobody knows.
_EXIT = {Verdict.PASSED: 0, Verdict.FAILED: 1}


def main(arguments: Sequence[str] | None = None) -> int:
    """Diagnose one case and return the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["compat"]:
        return compat_command.main(given[1:])
    if given[:1] == ["explain"]:
        return _explain(given[1:])
    if given[:1] == ["survey"]:
        return survey_command.main(given[1:])
    parser = _parser()
    options, extra = parser.parse_known_args(given)
    if extra:
        parser.error(unknown_option(extra, parser))
    try:
        for file in (options.html, options.json):
            _require_folder(file)
        if options.repro:
            options.repro.mkdir(parents=True, exist_ok=True)
        case = make_case(options.case)
        diagnosis, repro = _diagnose(to_keywords(options, case), options)
    except (CaseError, CaseFileError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    _put_out(diagnosis, repro, options)
    return 0 if diagnosis.fixed else _EXIT.get(diagnosis.verdict, 3)


def _put_out(diagnosis: Diagnosis, repro: Repro | None, options: argparse.Namespace) -> None:
    """The answer as text, and the files that were asked for."""
    if options.log:
        print(diagnosis.log)
    print(text.render(diagnosis, voice=COMMAND_LINE))
    if options.html:
        print(f"Report: {diagnosis.save_html(options.html)}")
    if options.json:
        options.json.write_text(json.dumps(diagnosis.to_dict()), encoding="utf-8")
        print(f"Data: {options.json}")
    if repro is not None:
        print(f"Script: {repro.save(options.repro)}" if repro.proven else repro)


def _explain(given: Sequence[str]) -> int:
    """`onnx-debug explain CODE …`: exit status 2 where a code is unknown."""
    parser = _Parser(
        prog="onnx-debug explain", description="What the code of a report means, and what helps."
    )
    parser.add_argument("code", nargs="+", metavar="CODE", help="as a report shows it: OD101")
    pages = [page.text(code) for code in parser.parse_args(given).code]
    print("\n\n".join(pages))
    return 2 if any("\n" not in one for one in pages) else 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="onnx-debug",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "case",
        metavar="FILE.py:FUNCTION",
        help="a function that returns (model, args[, kwargs[, export options]])",
    )
    for flags, settings in OPTIONS:
        parser.add_argument(*flags, **settings)
    parser.add_argument("--html", type=Path, metavar="PATH", help="Write the report there.")
    parser.add_argument(
        "--json", type=Path, metavar="PATH", help="Write the diagnosis there as JSON."
    )
    parser.add_argument(
        "--repro",
        type=Path,
        metavar="FOLDER",
        help="Write a script of the first culprit there, and an issue to paste, once it failed alike by itself.",
    )
    return parser


def _require_folder(file: Path | None) -> None:
    """Before the work, not after it: make the folder."""
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.is_dir():
        raise CaseFileError(f"{file} is a folder, not a file to write")


def _diagnose(
    keywords: dict[str, Any], options: argparse.Namespace
) -> tuple[Diagnosis, Repro | None]:
    """What was found, and the script of the first culprit where one is wanted."""
    with contextlib.ExitStack() as stack:
        if not options.quiet:
            keywords["on_event"] = stack.enter_context(Progress(terminal_writer()))
        if not options.repro:
            from onnx_debug.session.diagnose import diagnose

            return diagnose(**keywords), None
        from onnx_debug.session.session import Session

        session = stack.enter_context(Session(**keywords))
        return session.run(), session.repro()


if __name__ == "__main__":
    sys.exit(main())
