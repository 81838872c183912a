"""A diagnosis in the words and rows the panel shows: plain data for the browser. Pure, but for reading source files.

The sentences are those of the reports (`renderers.words`), so that text, report and panel never say
different things.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from onnx_debug.data.comparison import Asked, Comparison
from onnx_debug.data.culprit import Culprit
from onnx_debug.data.diagnosis import Diagnosis, SearchState, Step
from onnx_debug.data.failure import Failure
from onnx_debug.data.fix import Fix, PartWay
from onnx_debug.data.module_info import ModuleCall, TensorInfo
from onnx_debug.data.stage import Mode, Stage, StageResult, StageState, Verdict
from onnx_debug.render import words
from onnx_debug.render.issue import issue_text
from onnx_debug.render.messages import first_line
from onnx_debug.render.page.evidence import evidence
from onnx_debug.render.page.sources import class_source
from onnx_debug.render.reasons import cause, why
from onnx_debug.render.source import ReadLines, read_lines
from onnx_debug.render.verdict import MARKS, TONES, advice_for, headline, next_step, part_way
from onnx_debug.render.voice import PANEL

_LONGEST_ERROR = 20_000  # characters


def view(
    d: Diagnosis, *, read: ReadLines = read_lines, cell_name: words.CellName | None = None
) -> dict[str, Any]:
    """Everything the panel shows of a diagnosis but the tree, the steps, the log and the graph."""
    return {
        "verdict": TONES[d.verdict],
        "mark": MARKS[d.verdict],
        "headline": headline(d),
        "proven": words.proven(d) if len(d.culprits) > 1 else "",  # of one, its evidence says it
        "unproven": words.unproven_as_a_whole(d),
        "next": _next(d),
        "nextIsAdvice": _is_advice(d),
        "failed": d.failure.stage.value if d.failure else "",
        "notes": list(words.notes(d, cell_name)),
        "stages": stages(d),
        "culprits": [_culprit(culprit, d, read, cell_name) for culprit in d.culprits],
        "error": "" if d.culprits or d.failure is None else _error(d.failure),
        "issue": issue_text(d) if d.ours else "",
        "fixes": _fixes(d),
        "seen": [list(row) for row in words.seen(d)],
        "asked": [_asked(row) for row in d.asked],
        "comparisons": [_comparison(row) for row in d.comparisons],
        "modelClass": d.model_class,
        "graph": d.onnx_path is not None,
    }


def _next(d: Diagnosis) -> str:
    """What to do now; of an export that passes, how well it agrees."""
    if not d.ok or not d.comparisons:
        step = next_step(d, PANEL)
        return f"Next: {step}" if step else ""
    inputs = words.plural(len({row.input_index for row in d.comparisons}), "input set")
    compared = f"Compared with eager on {inputs}: {words.agreement(d.comparisons)}."
    return " ".join(filter(None, (words.written(d), compared)))


def _is_advice(d: Diagnosis) -> bool:
    """Whether the next step is advice for one culprit, so that another one's takes its place when that is selected."""
    over = d.search not in (SearchState.RUNNING, SearchState.PAUSED, SearchState.STOPPED)
    return bool(over and d.culprits and not d.fixes and not d.request)


def stages(d: Diagnosis) -> list[dict[str, str]]:
    """Every stage with what became of it; all of them lie ahead while nothing is known."""
    ahead = tuple(StageResult(stage, StageState.NOT_REACHED) for stage in Stage)
    return [
        {
            "name": result.stage.value,
            "state": words.STAGE_MARKS[result.state][0],
            "mark": words.STAGE_MARKS[result.state][1],
            "said": ": ".join(filter(None, (result.state.value, result.reason))),
        }
        for result in d.stages or ahead
    ]


def steps(trials: Iterable[Step], model_class: str) -> list[dict[str, Any]]:
    """The history, readable: what was tried, why, and the answer."""
    return [
        {
            "fqn": step.module,
            "what": subject(step, model_class),
            "why": step.why,
            "answer": step.answer.value,
            "said": _said(step),
            "message": first_line(step.message, 300),
            "seconds": round(step.seconds, 2),
        }
        for step in trials
    ]


def subject(step: Step, model_class: str) -> str:
    """`blocks.3 alone`, `blocks.3 with its 2 children replaced`, `Net (the whole model) with blocks.3.extra replaced`."""
    name = words.module_name(step.module, model_class)
    if step.beyond:
        return f"{name} on other inputs"
    if not step.stubs:
        return f"{name} alone" if step.module else name
    inside = [stub.removeprefix(step.module + ".") for stub in step.stubs]
    if len(step.stubs) <= 2:
        return f"{name} with {' and '.join(sorted(inside))} replaced"
    return f"{name} with {len(step.stubs)} modules replaced"


def _culprit(
    culprit: Culprit, d: Diagnosis, read: ReadLines, cell_name: words.CellName | None
) -> dict[str, Any]:
    own, *below = words.guilty_lines(culprit) or (None,)
    return {
        "fqn": culprit.fqn,
        "name": words.module_name(culprit.fqn, d.model_class),
        "kind": culprit.class_name,
        "aliases": list(culprit.aliases),
        "why": f"{why(culprit)} [{cause(culprit).code}]",
        "code": cause(culprit).code,
        "advice": "" if d.request else advice_for(d, culprit, PANEL),
        "stage": culprit.failure.stage.value,
        "place": words.place(own, cell_name) if own else "",
        "file": own.file if own else "",
        "source": [list(line) for line in class_source(own, read)] if own else [],
        "below": [{"place": words.place(line, cell_name), "text": line.text} for line in below],
        "evidence": evidence(culprit, d),
        "call": culprit.call_index,
        "inputs": [_tensor(info) for info in culprit.inputs],
        "outputs": [_tensor(info) for info in culprit.outputs],
        "calls": [call_row(call) for call in culprit.calls],
        "graph": culprit.graph_path is not None,
        "error": _error(culprit.failure),
    }


def _asked(row: Asked) -> list[str]:
    """What was asked of the file, what it has, and the sizes that work, fail, and that the model itself rejects."""
    got = f"{row.got}: {row.problem}" if row.problem else row.got
    return [row.subject, row.asked, got, *map(words.sizes, (row.works, row.fails, row.rejected))]


def _tensor(info: TensorInfo) -> dict[str, Any]:
    symbolic = ", ".join(str(size) for size in info.symbolic_shape)
    recorded = ", ".join(str(size) for size in info.shape)
    return {
        "name": info.name,
        "dtype": info.dtype,
        "shape": f"[{recorded}]",
        "symbolic": f"[{symbolic}]" if info.symbolic_shape and symbolic != recorded else "",
        "device": info.device,
        "min": _number(info.min),
        "max": _number(info.max),
        "nan": info.nan_count,
    }


def call_row(call: ModuleCall) -> dict[str, Any]:
    """One recorded call: which, and what went in and came out."""
    return {
        "index": call.index,
        "inputs": [_tensor(info) for info in call.inputs],
        "outputs": [_tensor(info) for info in call.outputs],
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _error(failure: Failure) -> str:
    """The error in full; of a very long one the beginning and, more telling, the end."""
    text = failure.details or "\n".join(filter(None, (failure.exception_type, failure.message)))
    half = _LONGEST_ERROR // 2
    return (
        text
        if len(text) <= _LONGEST_ERROR
        else f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
    )


def _said(step: Step) -> str:
    if step.answer is not Verdict.FAILED or step.stage is None:
        return step.answer.value
    how = {
        Mode.ERROR: "fails",
        Mode.CRASH: "crashes",
        Mode.TIMEOUT: "does not end",
        Mode.MEMORY: "needs too much memory",
    }
    return f"{how[step.mode or Mode.ERROR]} at {step.stage}"


def _fixes(d: Diagnosis) -> list[dict[str, Any]]:
    """What was tried and passed; where nothing did, what gets the export further."""
    shown = [
        _fix(fix, fix.title, f"✓ checked: exports, runs, max diff {words.number(fix.max_abs_diff)}")
        for fix in d.fixes
    ]
    further = part_way(d)
    if d.part_way is not None and further:
        shown.append(_fix(d.part_way, further, "no fix: another cause is left"))
    return shown


def _fix(fix: Fix | PartWay, title: str, checked: str) -> dict[str, Any]:
    return {
        "title": title,
        "explanation": fix.explanation,
        "diff": fix.diff,
        "code": fix.code,
        "checked": checked,
        "passed": isinstance(fix, Fix),
    }


def _comparison(row: Comparison) -> dict[str, Any]:
    return {
        "input": row.inputs or "given",
        "output": row.output,
        "problem": row.problem,
        "abs": words.number(row.max_abs_diff),
        "rel": words.number(row.max_rel_diff),
        "share": f"{row.mismatched} of {row.total}" if row.total else "",
    }
