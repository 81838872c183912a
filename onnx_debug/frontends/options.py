"""The options that the magics and the command line share, and what they ask of `diagnose`."""

from __future__ import annotations

import argparse
import re
from typing import Any

from onnx_debug.data.errors import CaseError
from onnx_debug.request.matching import did_you_mean

Option = tuple[tuple[str, ...], dict[str, Any]]
_AXIS = re.compile(r"(?P<input>[^:=]+):(?P<axis>\d+)(=(?P<name>\w+))?")


def _axis(text: str) -> tuple[str, int, str]:
    """`x:0=batch` → ("x", 0, "batch"); without a name the dimension is called `x_0`."""
    found = _AXIS.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form INPUT:DIM or INPUT:DIM=NAME")
    name, axis = found["input"], int(found["axis"])
    return name, axis, found["name"] or f"{name}_{axis}"


def _option(*flags: str, **settings: Any) -> Option:
    return flags, settings


def _switch(*flags: str, help: str) -> Option:  # noqa: A002 - argparse's own word
    return flags, {"action": "store_true", "help": help}


OPTIONS: tuple[Option, ...] = (
    _option(
        "-o",
        "--output",
        metavar="FILE",
        help="Write the model there when it exports (torch's `f`).",
    ),
    _option("--opset", type=int, metavar="N", help="Target opset (torch's `opset_version`)."),
    _switch("--legacy", help="Use the TorchScript exporter (dynamo=False)."),
    _option(
        "--dynamic",
        type=_axis,
        action="append",
        metavar="INPUT:DIM=NAME",
        help="Ask for a dynamic dimension, as in `--dynamic x:0=batch`; once for each.",
    ),
    _option("--atol", type=float, metavar="A", help="Absolute tolerance of the comparison."),
    _option("--rtol", type=float, metavar="R", help="Relative tolerance of the comparison."),
    _option(
        "--timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="Time limit of one trial; 60 unless told.",
    ),
    _option(
        "--edges",
        choices=("report", "strict", "off"),
        default="report",
        help="Zeros, ties, NaN, sizes of 1: report a difference, let it fail the export, or do not try.",
    ),
    _switch("--no-isolation", help="Run trials in this process; a crash then takes it down."),
    _switch(
        "--fix",
        help="Where the model does not export: write a copy that does, with the first fix in it.",
    ),
    _switch("--no-fixes", help="Say what is wrong; do not try changes that would make it export."),
    _switch("--log", help="Print the exporter's full verbose log."),
    _switch("-q", "--quiet", help="Show no progress."),
)
NOTEBOOK_OPTIONS: tuple[Option, ...] = (
    _switch("--static", help="Show the report only, without the live panel."),
    _switch(
        "--step", help="Show the panel before the first trial: its buttons Step and Run go on."
    ),
)


def unknown_option(extra: list[str], parser: argparse.ArgumentParser) -> str:
    """What to say of arguments that are none of the parser's options."""
    first = extra[0].split("=")[0]
    if not first.startswith("-"):
        return f"there is nothing that {first!r} could stand for"
    known = [flag for action in parser._actions for flag in action.option_strings]
    return f"there is no option {first}{did_you_mean(first, known)}"


def to_keywords(options: argparse.Namespace, case: dict[str, Any]) -> dict[str, Any]:
    """The keywords of `diagnose` for this case with these options, which go before its own.

    Raises:
        CaseError: a dynamic dimension was asked of an input that the case does not have.
    """
    keywords = {
        **case,
        "timeout": options.timeout,
        "edges": options.edges,
        "isolate": not options.no_isolation,
        "fixes": not options.no_fixes,
        "fix": options.fix,
    }
    asked = {
        "f": options.output,
        "opset_version": options.opset,
        "dynamo": False if options.legacy else None,
        "atol": options.atol,
        "rtol": options.rtol,
    }
    keywords |= {name: value for name, value in asked.items() if value is not None}
    return _with_dynamic(keywords, options.dynamic) if options.dynamic else keywords


def _with_dynamic(keywords: dict[str, Any], wanted: list[tuple[str, int, str]]) -> dict[str, Any]:
    """The same with these dimensions dynamic, in the form that the exporter takes."""
    from onnx_debug.request.case import make_case
    from onnx_debug.request.inputs import forward_signature

    case = make_case(keywords["model"], keywords.get("args", ()), keywords.get("kwargs"))
    signature = forward_signature(case.model)
    if signature is None:
        raise CaseError("--dynamic: Python cannot tell what the inputs of the model are called")
    inputs = list(signature.bind(*case.args, **case.kwargs).arguments)
    axes: dict[str, dict[int, str]] = {}
    for name, axis, size in wanted:
        if name not in inputs:
            hint = did_you_mean(name, inputs) or f"; its inputs are {', '.join(inputs)}"
            raise CaseError(f"--dynamic: the model has no input {name!r}{hint}")
        axes.setdefault(name, {})[axis] = size
    rest = {
        name: value
        for name, value in keywords.items()
        if name not in ("dynamic_shapes", "dynamic_axes")
    }
    if keywords.get("dynamo", True):
        return {**rest, "dynamic_shapes": {name: axes.get(name) for name in inputs}}
    return {"input_names": inputs, **rest, "dynamic_axes": axes}
