"""What is wrong with a request, where that and no module is to blame, and the call that works in its place."""

from __future__ import annotations

from onnx_debug.data.fix import Fix
from onnx_debug.data.outcome import Trial, TrialKind
from onnx_debug.data.request_fault import RequestFault
from onnx_debug.request import remedy
from onnx_debug.runner.runner import Runner
from onnx_debug.session.assemble import Known


def explain_request(known: Known, runner: Runner, timeout: float, *, want_fixes: bool) -> None:
    """Say what is wrong with the request, and how it was meant, if the search or the failure suspects it."""
    whole = known.findings.whole
    certain = known.findings.request_at_fault
    suspected = whole is not None and remedy.opset_may_be_too_old(known.case, whole.failure)
    if not certain and not suspected:
        return
    found = runner.correct_options(timeout)
    outcome = found.outcome
    works = outcome is not None and outcome.ok
    if not works and not certain:
        return  # another call does not help: a module is to blame
    known.request = "; ".join(found.problems) or _unmet(known) or _unexplained(known)
    known.request_fault = found.fault or RequestFault.UNEXPLAINED
    if outcome is not None and works and want_fixes:
        fix = Fix(
            "the call in a form that fits the model",
            "It asks for the same in a way that this torch understands.",
            outcome,
            max((row.max_abs_diff for row in outcome.comparisons), default=0.0),
            code=found.call,
        )
        known.fixes = (fix,)


def _unmet(known: Known) -> str:
    """What the exported file lacks of what was asked for; empty when no file was written."""
    whole = known.findings.whole
    if whole is None or whole.failure is None or whole.onnx_path is None:
        return ""
    return whole.failure.message


def _unexplained(known: Known) -> str:
    """That the request is at fault, where no call is found that works."""
    said = "it does not fit the model: with default options it"
    plain = known.outcomes.get(Trial("", kind=TrialKind.DEFAULT_OPTIONS))
    if plain is None:
        said = f"{known.case.surroundings}; without that it"
        plain = known.outcomes.get(Trial("", kind=TrialKind.NEUTRAL))
    return f"{said} {'exports' if plain is not None and plain.ok else 'fails in another way'}"
