"""The text of a bug report about onnx_debug itself, ready to be pasted into an issue."""

from __future__ import annotations

import platform

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.render.verdict import headline

_MOST_LOG = 6_000  # characters; the end, where the traceback stands


def issue_text(d: Diagnosis) -> str:
    """What happened, on which versions, and the end of the log, as Markdown.

    It holds no source and no values of the user's model, but the log can name files and modules.
    """
    versions = {**d.versions, "python": platform.python_version(), "system": platform.platform()}
    exporter = "dynamo=True" if d.dynamo else "dynamo=False"
    trials = [
        f"{number}. `{step.module or '(whole model)'}`: {step.answer} {step.message}".rstrip()
        for number, step in enumerate(d.trials, 1)
        if step.ours
    ]
    parts = [
        f"**{headline(d)}**",
        f"Exporter: `{exporter}`; {len(d.modules)} modules; {len(d.trials)} trials.",
        "\n".join(f"- {name} {version}" for name, version in versions.items()),
        "\n".join(["Trials that onnx_debug itself could not run:", *trials]) if trials else "",
        f"```\n{d.log[-_MOST_LOG:].strip()}\n```" if d.log.strip() else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
