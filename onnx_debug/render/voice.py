"""How the next step names things: by a button and a tab, by Python, or by an option, as the reader has them at hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Voice:
    """The words of one place for what the advice points to.

    Attributes:
        error: where the error stands in full.
        log: where the exporter's log stands.
        trials: where the trials are listed.
        time: how to give a trial more time.
        memory: what limits the memory of a trial.
        tolerances: how to set the tolerances of the comparison.
        fix: where the only fix stands.
        issue: where a report about onnx_debug itself stands, ready to be pasted.
        go_on: how to go on with a search that was paused.
    """

    error: str
    log: str
    trials: str
    time: str
    memory: str
    tolerances: str
    fix: str
    issue: str
    go_on: str


PYTHON = Voice(
    error="d.failure.details",
    log="d.log",
    trials="d.trials",
    time="timeout=300",
    memory="memory_limit",
    tolerances="atol=, rtol=",
    fix="d.fixes[0]",
    issue="d.issue_text()",
    go_on="go on with the search",
)
PANEL = Voice(
    error="“The error in full” in the Layer tab",
    log="the Log tab",
    trials="the Steps tab",
    time="%%onnx_export --timeout 300",
    memory="memory_limit, an argument of onnx_debug.diagnose",
    tolerances="%%onnx_export --atol A --rtol R",
    fix="see the Fixes tab",
    issue="“A report about onnx_debug itself” in the Layer tab",
    go_on="press Run to go on with the search",
)
COMMAND_LINE = Voice(
    error="the report (--html FILE)",
    log="the exporter's log (--log)",
    trials="the list of trials in the report (--html FILE)",
    time="--timeout 300",
    memory="memory_limit, an argument of onnx_debug.diagnose",
    tolerances="--atol, --rtol",
    fix="in full with --html FILE",
    issue="the report about onnx_debug itself (--html FILE)",
    go_on="run the command again",
)
