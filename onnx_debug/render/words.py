"""The words that every form of a diagnosis shares: names, places, numbers, proof."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from onnx_debug.data.comparison import Asked, Comparison, Edge
from onnx_debug.data.culprit import Culprit, ProofKind
from onnx_debug.data.diagnosis import Diagnosis, Written
from onnx_debug.data.failure import Clue, ClueKind, Source
from onnx_debug.data.module_info import ModuleInfo, TensorInfo
from onnx_debug.data.stage import Stage, StageState
from onnx_debug.render.messages import first_line
from onnx_debug.render.reasons import clue_of

# A stage's state: as style sheets call it, and its mark.
STAGE_MARKS = {
    StageState.PASSED: ("passed", "✓"),
    StageState.FAILED: ("failed", "✗"),
    StageState.SKIPPED: ("skipped", "?"),
    StageState.NOT_REACHED: ("ahead", "·"),
}
PROOFS = {
    ProofKind.ALONE: "it fails alone",
    ProofKind.IN_PLACE: "with it replaced the failure is gone",
    ProofKind.ANCESTOR: "it is the smallest module that fails alone",
    ProofKind.ROOT: "with all its children replaced it still fails",
    ProofKind.UNPROVEN: "not proven",
}
_PROOFS_OF_SOME = {
    ProofKind.ALONE: "by failing alone",
    ProofKind.IN_PLACE: "by replacing them in the model",
    ProofKind.ANCESTOR: "as the smallest modules that fail alone",
    ProofKind.ROOT: "by replacing all children",
}
CellName = Callable[[str], str | None]


def plural(count: int, noun: str) -> str:
    """`3 trials`, `1 trial`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def number(value: float) -> str:
    """`2e-6`, `0.31`: two digits, short exponents."""
    return f"{value:.2g}".replace("e-0", "e-").replace("e+0", "e+")


def percent(share: float) -> str:
    """`0.055 %`, `12 %`, `2e-5 %`."""
    return f"{number(100 * share)} %"


def agreement(rows: Sequence[Comparison]) -> str:
    """`max diff 8 of 14,580 (0.055 %; allowed 1 %)`: of the output that comes nearest to what is allowed."""
    worst = max(rows, key=lambda row: row.max_rel_diff / row.allowed if row.allowed else 0.0)
    if not worst.size:
        return f"max diff {number(max(row.max_abs_diff for row in rows))}"
    size = f"{worst.size:,.0f}" if worst.size >= 1000 else number(worst.size)
    found = f"max diff {number(worst.max_rel_diff * worst.size)} of {size}"
    found += f" ({percent(worst.max_rel_diff)}; allowed {percent(worst.allowed)})"
    if worst.snr_db is not None and worst.cosine is not None:
        found += f", cosine {worst.cosine:.6g}, SNR {worst.snr_db:.0f} dB"
    return found


def written(d: Diagnosis) -> str:
    """What the user got of an export that passes or was fixed; empty where that is not known."""
    if d.written is None:
        return f"Nothing was written: {d.unwritten}." if d.unwritten else ""
    place = f" to {d.written.path}" if d.written.path else ""
    return f"Written{place} ({file_words(d.written)})."


def file_words(file: Written) -> str:
    """`12 kB, opset 20, 14 nodes`."""
    size = next(
        f"{file.size / unit:,.{digits}f} {name}"
        for unit, digits, name in ((1e9, 1, "GB"), (1e6, 1, "MB"), (1e3, 0, "kB"), (1, 0, "bytes"))
        if file.size >= unit or unit == 1
    )
    return f"{size}, opset {file.opset}, {plural(file.nodes, 'node')}"


def module_name(fqn: str, model_class: str) -> str:
    """The path; the root has none, so it goes by its class."""
    return fqn or f"{model_class} (the whole model)"


def culprit_title(culprit: Culprit, model_class: str) -> str:
    """Path and class: `blocks.7.extra (BadQr)`."""
    return (
        f"{culprit.fqn} ({culprit.class_name})"
        if culprit.fqn
        else module_name("", culprit.class_name or model_class)
    )


def place(source: Source, cell_name: CellName | None = None) -> str:
    """`model.py:17`, `transformers/models/t5/modeling_t5.py:331`, `Cell In[5]:3`: as short as stays unambiguous."""
    return f"{_file(source.file, cell_name)}:{source.line}"


def notes(d: Diagnosis, cell_name: CellName | None = None) -> tuple[str, ...]:
    """What the reader should know beside the verdict, differences at the edges included."""
    edges = (f"Differs at an edge: {edge_words(edge, cell_name)}." for edge in d.edges)
    return (*d.notes, *edges)


def edge_words(edge: Edge, cell_name: CellName | None = None) -> str:
    """`NaN here and there: torch.amax at model.py:3, known to be wrong in torch 2.13: NaN is left out of the maximum`."""
    made = edge.op or edge.fqn or ""
    made += f" at {place(edge.source, cell_name)}" if made and edge.source else ""
    said = edge.known or edge.problem
    return f"{edge.inputs}: {f'{made}, {said}' if made else said}"


def _file(name: str, cell_name: CellName | None) -> str:
    if cell_name and (cell := cell_name(name)):
        return cell
    path = Path(name)
    if "ipykernel_" in path.parent.name or name.startswith("<ipython-input"):
        return "notebook cell"
    if "site-packages" in path.parts:
        return "/".join(path.parts[path.parts.index("site-packages") + 1 :])
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else name


def tensor(info: TensorInfo) -> str:
    """`x float32[s0, 8, 16]`: a dynamic size stands with its name."""
    return f"{info.name} {info.dtype}{shape(info)}"


def shape(info: TensorInfo) -> str:
    """The sizes in brackets: a dynamic one by its name, a formula of such names by the example's size, which says more."""
    known = len(info.symbolic_shape) == len(info.shape)
    named = info.symbolic_shape if known else info.shape
    sizes = [
        str(name) if isinstance(name, int) or name.isidentifier() else str(size)
        for name, size in zip(named, info.shape, strict=True)
    ]
    return f"[{', '.join(sizes)}]"


def effort(d: Diagnosis) -> str:
    """`9 trials, 3.4 s`."""
    return f"{plural(len(d.trials), 'trial')}, {d.seconds:.1f} s"


def modules_outside(d: Diagnosis) -> int:
    """How many modules are neither a culprit nor below one."""
    return sum(not any(_within(module, culprit) for culprit in d.culprits) for module in d.modules)


def _within(module: ModuleInfo, culprit: Culprit) -> bool:
    return not culprit.fqn or module.fqn == culprit.fqn or module.fqn.startswith(culprit.fqn + ".")


def proven(d: Diagnosis) -> str:
    """What was shown by trials, as one sentence; empty when nothing was."""
    if d.request:
        return ""  # then a module only shows what the request asks of it
    shown = [culprit for culprit in d.culprits if culprit.proof.kind is not ProofKind.UNPROVEN]
    return "; ".join((*_guilt(shown), *sufficiency(d))) if d.culprits else ""


def _guilt(shown: list[Culprit]) -> list[str]:
    kinds = Counter(culprit.proof.kind for culprit in shown)
    if len(shown) == 1:
        return [proof_words(shown[0]) + _own_code(shown)]
    if set(kinds) == {ProofKind.ALONE}:
        necessary = (
            " and blocks by itself" if all(culprit.proof.necessary for culprit in shown) else ""
        )
        return [f"each fails alone{necessary}{_own_code(shown)}"]
    return (
        [
            ", ".join(
                f"{kinds[kind]} {words}" for kind, words in _PROOFS_OF_SOME.items() if kind in kinds
            )
        ]
        if kinds
        else []
    )


def proof_words(culprit: Culprit) -> str:
    """How one culprit was shown to be guilty."""
    if culprit.proof.kind is ProofKind.ROOT and not culprit.proof.own_code_trial:
        return "the failure names the model's own line, and no trial puts it on one child alone"
    return PROOFS[culprit.proof.kind]


def _own_code(shown: list[Culprit]) -> str:
    """A guilty root is proven by its own code anyway; there it need not be said."""
    tried = all(
        culprit.own_code
        and culprit.proof.own_code_trial
        and culprit.proof.kind is not ProofKind.ROOT
        for culprit in shown
    )
    return ", by its own code" if tried else ""


def sufficiency(d: Diagnosis) -> list[str]:
    """That the rest of the model is innocent, where that was shown."""
    rest = modules_outside(d)
    if not d.sufficient or not rest:
        return []
    replaced = {1: "it", 2: "both"}.get(len(d.culprits), f"all {len(d.culprits)}")
    others = (
        "the other module exports, loads, runs and matches"
        if rest == 1
        else f"the other {rest} modules export, load, run and match"
    )
    return [f"with {replaced} replaced {others}"]


def unproven(d: Diagnosis) -> list[str]:
    """What could not be shown, and why: one line each, repeated reasons once."""
    lines = [
        f"{module_name(culprit.fqn, d.model_class)}: {first_line(culprit.proof.reason) or 'named by the failure only'}"
        for culprit in d.culprits
        if culprit.proof.kind is ProofKind.UNPROVEN or culprit.proof.reason
    ]
    return list(dict.fromkeys((*lines, *unproven_as_a_whole(d))))


def unproven_as_a_whole(d: Diagnosis) -> list[str]:
    """What could not be shown of the set of culprits; what is missing for one of them is its own matter."""
    if d.culprits:
        rest = "the rest of the model does not pass either: another cause is still in it"
        return [rest] if d.sufficient is False else []
    clue = clue_of(d.failure, "") if d.failure and not d.request else None
    if clue is None or clue.kind is ClueKind.DRIFT:
        return []
    return [f"the failure itself names {module_name(clue.fqn, d.model_class)}"]


def seen(d: Diagnosis) -> list[tuple[str, str]]:
    """Where the exported model was run: how that went wrong, and with which sizes of what was asked to be dynamic."""
    if d.failure is None or d.failure.stage not in (Stage.RUN, Stage.COMPARE):
        return []
    rows = [("seen", first_line(d.failure.message, 140))]
    rows += [
        ("asked", f"{row.subject} {row.asked}: {tried(row) or row.problem}")
        for row in d.asked
        if row.fails or row.problem
    ]
    return rows


def tried(row: Asked) -> str:
    """`works with 1, fails with 4, 6`: what came of other sizes; empty when none was tried."""
    found = {
        "works with": row.works,
        "fails with": row.fails,
        "the model itself rejects": row.rejected,
    }
    return ", ".join(f"{words} {sizes(these)}" for words, these in found.items() if these)


def sizes(tried: tuple[int, ...]) -> str:
    """`1, 4`; a dash for none."""
    return ", ".join(map(str, tried)) or "–"


def guilty_lines(culprit: Culprit) -> tuple[Source, ...]:
    """The culprit's own line, then the lines it calls into, outermost first."""
    clue: Clue | None = clue_of(culprit.failure, culprit.fqn)
    own = culprit.source or (clue.source if clue else None)
    below = clue.below if clue and clue.source == own else ()
    # A comprehension is a function of its own, on the same line.
    return tuple({(line.file, line.line): line for line in (own, *below) if line}.values())
