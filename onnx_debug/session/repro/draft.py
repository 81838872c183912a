"""The parts of a script, and their text."""

from __future__ import annotations

from dataclasses import dataclass, field

from onnx_debug.data.repro import STATE
from onnx_debug.data.stage import Stage

_LEAVES = '''def leaves(value):
    """The tensors in a value, one after the other."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    return [leaf for item in value for leaf in leaves(item)] if hasattr(value, "__iter__") and not isinstance(value, str) else []'''
_SESSION = (
    'session = onnxruntime.InferenceSession("repro.onnx", providers=["CPUExecutionProvider"])'
)
_RUN = """with torch.no_grad():
    expected = leaves(model(*args, **kwargs))
names = [one.name for one in session.get_inputs()]
given = [leaf.detach().numpy() for leaf in leaves((args, kwargs))]
returned = session.run(None, dict(zip(names, given)))"""
_COMPARE = """for want, got in zip(expected, returned, strict=True):
    got = torch.from_numpy(got)
    size = want[want.isfinite()].abs().max() if want.isfinite().any() else 0
    torch.testing.assert_close(got, want, rtol=0, atol=float({share} * size), equal_nan=True)"""


@dataclass(frozen=True)
class Draft:
    """What a script is made of; each line or statement as text.

    Attributes:
        imports, definitions: what it needs, in order.
        model: statements that make `model`.
        args, kwargs: expressions.
        others: further inputs on which ONNX Runtime has to agree, as `(args, kwargs)`.
        options: keywords of the export, by name.
        around: `with` lines in which the export is made.
        setup: what is set before anything is made.
        saved: the content of the file beside the script; empty when it needs none.
        share: of an output's size, by which its values may differ.
        left_out: attributes that could not be written.
        why_not: why there is no script; empty when there is one.
    """

    imports: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    args: str = "()"
    kwargs: str = "{}"
    others: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    around: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    saved: bytes = b""
    left_out: tuple[str, ...] = ()
    share: float = 0.0
    why_not: str = ""

    def text(self, head: str, stage: Stage) -> str:
        """The script.

        Args:
            head: its docstring.
            stage: where it fails: what comes after that is left away.
        """
        later = (Stage.LOAD, Stage.RUN, Stage.COMPARE)
        imports = [*self.imports, *(["import onnxruntime"] if stage in later else [])]
        parts = [f'"""{head}"""', "\n".join(sorted(imports, key=_import_order))]
        runs = stage in (Stage.RUN, Stage.COMPARE)
        parts += [*self.definitions, *([_LEAVES] if runs else [])]
        made = [*self.setup, "torch.manual_seed(0)"]
        if self.saved:
            made.append(f'saved = torch.load("{STATE}")')
        made += [*self.model, f"args = {self.args}", f"kwargs = {self.kwargs}"]
        if self.others and runs:
            made.append(f"others = [{', '.join(self.others)}]")
        parts += ["\n".join(made), self._export(), *self._later(stage)]
        return "\n\n".join(parts) + "\n"

    def _export(self) -> str:
        given = ", ".join(f"{name}={code}" for name, code in self.options.items())
        call = f'torch.onnx.export(model, args, "repro.onnx", kwargs=kwargs, {given})'
        depth = range(len(self.around))
        return "\n".join(
            [*("    " * i + self.around[i] for i in depth), "    " * len(self.around) + call]
        )

    def _later(self, stage: Stage) -> list[str]:
        if stage not in (Stage.LOAD, Stage.RUN, Stage.COMPARE):
            return []
        steps = [_SESSION]
        if stage is not Stage.LOAD:
            body = (
                f"{_RUN}\n{_COMPARE.format(share=self.share)}" if stage is Stage.COMPARE else _RUN
            )
            steps.append(_each(body) if self.others else body)
        return ["\n".join(steps)]


def _each(body: str) -> str:
    inner = "\n".join(f"    {line}" for line in body.splitlines())
    return f"for args, kwargs in [(args, kwargs), *others]:\n{inner}"


def _import_order(line: str) -> tuple[bool, str]:
    return not line.startswith("from __future__"), line.split()[1]
