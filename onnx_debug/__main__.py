"""`python -m onnx_debug model.py:make`: the diagnosis on the command line.

Exit status: 0 when the model exports, 1 when it does not, 2 when the call was wrong, 3 when nobody
knows, because a stage could not be tried or the search was stopped.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from onnx_debug.data.errors import CaseError
from onnx_debug.data.outcome import Verdict
from onnx_debug.frontends.options import OPTIONS, to_keywords
from onnx_debug.frontends.progress_line import Progress, terminal_writer
from onnx_debug.render import text

_CASE = ("model", "args", "kwargs")


# Passed and failed; 2 is a wrong call, 3 that nobody knows.
_EXIT = {Verdict.PASSED: 0, Verdict.FAILED: 1}


def main(arguments: Sequence[str] | None = None) -> int:
    """Diagnose one case and return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        case, export_options = _case(_load(options.case)())
        diagnosis = _diagnose(case, {**export_options, **to_keywords(options)}, quiet=options.quiet)
    except (CaseError, _UsageError) as error:
        parser.error(str(error))
    if options.log:
        print(diagnosis.log)
    print(text.render(diagnosis))
    if options.html:
        diagnosis.save_html(options.html)
    if options.json:
        options.json.write_text(json.dumps(diagnosis.to_dict()), encoding="utf-8")
    return _EXIT.get(diagnosis.verdict, 3)


class _UsageError(Exception):
    """The case cannot be found or is not one."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m onnx_debug",
        description="When torch.onnx.export fails: which layer, which line, why.",
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
    return parser


def _load(name: str) -> Callable[[], Any]:
    """The function that `FILE.py:FUNCTION` or `package.module:FUNCTION` names."""
    where, _, function = name.rpartition(":")
    if not where or not function:
        raise _UsageError(f"{name!r} is not of the form FILE.py:FUNCTION")
    make = getattr(_import(where), function, None)
    if not callable(make):
        raise _UsageError(f"{where} has no function {function!r}")
    return make  # type: ignore[no-any-return]


def _import(where: str) -> ModuleType:
    path = Path(where)
    if path.suffix != ".py":
        try:
            return importlib.import_module(where)
        except ModuleNotFoundError as error:
            raise _UsageError(str(error)) from error
    if not path.is_file():
        raise _UsageError(f"there is no file {where}")
    sys.path.insert(
        0, str(path.parent.resolve())
    )  # so that the file finds its neighbours, as `python file.py` would
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _case(made: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    if not isinstance(made, tuple) or not 2 <= len(made) <= 4:
        raise _UsageError("the function must return (model, args[, kwargs[, export options]])")
    return dict(zip(_CASE, made, strict=False)), dict(made[3]) if len(made) == 4 else {}


def _diagnose(case: dict[str, Any], keywords: dict[str, Any], *, quiet: bool) -> Any:
    from onnx_debug.session.session import diagnose

    if quiet:
        return diagnose(**case, **keywords)
    with Progress(terminal_writer()) as progress:
        return diagnose(**case, on_event=progress, **keywords)


if __name__ == "__main__":
    sys.exit(main())
