"""From a culprit to a script that was seen to fail alike: the smallest that does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.failure import Failure
from onnx_debug.data.repro import STATE, Repro
from onnx_debug.data.stage import Mode, Stage, Verdict
from onnx_debug.runner.runner import Runner, UnansweredError
from onnx_debug.session.repro.draft import Draft
from onnx_debug.session.repro.prove import Ran, run
from onnx_debug.session.repro.write import WriteScript

_PATIENCE = 4.0  # times the limit of a trial, for a Python that has to import torch first
_TRACKERS = {
    "torch": "https://github.com/pytorch/pytorch/issues",
    "onnxruntime": "https://github.com/microsoft/onnxruntime/issues",
}


def make(
    diagnosis: Diagnosis,
    fqn: str,
    runner: Runner,
    timeout: float,
    *,
    alone: Failure | None,
    dynamic: bool,
    required: bool,
) -> Repro:
    """The script for a culprit, proven in a clean process; or why there is none.

    Args:
        diagnosis: what was found.
        fqn: the culprit; "" is the whole model.
        runner: knows the model and its recorded inputs.
        timeout: seconds for a trial.
        alone: how the culprit failed by itself, with nothing in it replaced, which is what a script
            does; None where it did not.
        dynamic: whether the request asks for dynamic sizes.
        required: trials of parts took a dynamic size that became a number for a failure.
    """
    culprit = next((one for one in diagnosis.culprits if one.fqn == fqn), None)
    failure = alone or (culprit.failure if culprit is not None else diagnosis.failure)
    if failure is None:
        known = "nothing fails" if diagnosis.ok else "it is not known whether the export fails"
        return Repro(fqn, why_not=known)
    if failure.mode is Mode.MEMORY:
        return Repro(
            fqn, why_not="it fails by taking memory, which a script would do without a limit"
        )
    if failure.stage is Stage.EAGER:
        return Repro(fqn, why_not="the model itself fails, before any export")
    call, why = culprit.call_index if culprit is not None else 0, "nothing was tried"
    for question in _questions(
        WriteScript(fqn, call), dynamic=dynamic and bool(fqn), required=required
    ):
        try:
            draft = runner.ask(question, timeout)
        except UnansweredError as error:
            why = str(error)
            continue
        if draft.why_not:
            why = draft.why_not
            continue
        script = draft.text(_head(diagnosis, fqn, failure, draft), failure.stage)
        files = {STATE: draft.saved} if draft.saved else {}
        ran = run(script, files, _PATIENCE * timeout)
        if ran.is_like(failure):
            return _proven(diagnosis, fqn, failure, script, files, ran)
        why = f"the script does not fail alike: {ran.words}"
        if draft.left_out:
            why += f"; left out of it: {', '.join(draft.left_out[:3])}"
    return Repro(fqn, why_not=why)


def _questions(plain: WriteScript, *, dynamic: bool, required: bool) -> Iterator[WriteScript]:
    """The smallest script first: random values, then the exact ones; fixed sizes, then dynamic ones."""
    for exact in (False, True):
        yield replace(plain, exact=exact)
        if dynamic:
            yield replace(plain, exact=exact, dynamic=True, required=required)


def _head(diagnosis: Diagnosis, fqn: str, failure: Failure, draft: Draft) -> str:
    versions = ", ".join(
        f"{name} {version}" for name, version in diagnosis.versions.items() if name != "onnx-debug"
    )
    said = " ".join(failure.message.split()).replace('"""', "'''").replace("\\", "/")
    what = f"{fqn} of {diagnosis.model_class}" if fqn else diagnosis.model_class
    head = f"Fails at {failure.stage}: {failure.exception_type or failure.mode}.\n\n"
    head += f"{said[:300]}\n\n" if said else ""
    head += f"This is {what}. {versions}.\n"
    if draft.saved:
        head += f"Reads {STATE} beside it.\n"
    return head


def _proven(
    diagnosis: Diagnosis,
    fqn: str,
    failure: Failure,
    script: str,
    files: dict[str, bytes],
    ran: Ran,
) -> Repro:
    owner = "onnxruntime" if failure.stage in (Stage.LOAD, Stage.RUN) else "torch"
    attached = f"It reads `{STATE}`, which is attached.\n\n" if files else ""
    versions = "\n".join(f"- {name} {version}" for name, version in diagnosis.versions.items())
    title = failure.message.strip().partition("\n")[0][:100]
    issue = (
        f"# ONNX export fails at {failure.stage}: {title}\n\nThis script fails:\n\n"
        f"```python\n{script}```\n\n{attached}```\n{failure.exception_type}: "
        f"{failure.message.strip()[:2000]}\n```\n\n{versions}\n"
    )
    return Repro(
        fqn,
        script,
        files,
        issue,
        _TRACKERS[owner],
        ran.words.removeprefix("it ended in "),
        proven=True,
        sibling=_sibling(diagnosis, fqn),
    )


def _sibling(diagnosis: Diagnosis, fqn: str) -> str:
    """Another module of the class that passed alone."""
    kinds = {module.fqn: module.class_name for module in diagnosis.modules}
    passed = [
        step.module
        for step in diagnosis.trials
        if step.answer is Verdict.PASSED and not step.stubs and step.module not in ("", fqn)
    ]
    return next((name for name in passed if kinds.get(name) == kinds.get(fqn)), "")
