"""Whether ONNX Runtime takes a given file here, and what is in the way."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from onnx import TensorProto

from onnx_debug.data.compatibility import FileAnswer
from onnx_debug.onnx_file import lint
from onnx_debug.onnx_file.runtime import open_session, refused_nodes
from onnx_debug.runner.questions import Context, Question
from onnx_debug.session.compatibility.runtime import NEWEST_OPSET, refusal

_STANDARD = ("", "ai.onnx")
_MOST_REASONS = 12


@dataclass(frozen=True)
class LookAtFile(Question[FileAnswer]):
    """Does ONNX Runtime take this file here?"""

    path: str

    def run(self, context: Context) -> FileAnswer:
        """Load it; where that fails, find out by what."""
        del context
        path = Path(self.path)
        try:
            model = onnx.load(path, load_external_data=False)
        except Exception as error:  # noqa: BLE001 - what protobuf raises is no part of onnx's interface
            said = getattr(error, "strerror", None) or "it is no ONNX file"
            return FileAnswer(self.path, loads=False, reasons=(f"it cannot be read: {said}",))
        opsets = {one.domain: one.version for one in model.opset_import}
        producer = f"{model.producer_name} {model.producer_version}".strip()
        found = FileAnswer(self.path, opsets, model.ir_version, producer, lint=lint.findings(path))
        try:
            open_session(path)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's exception types have no common base
            said = str(error).strip().partition("\n")[0]
            reasons = tuple(_reasons(path, model))[:_MOST_REASONS]
            return replace(found, loads=False, reasons=reasons or (f"ONNX Runtime says: {said}",))
        return replace(found, loads=True)


def _reasons(path: Path, model: onnx.ModelProto) -> Iterator[str]:
    """What is in the way, the most general first; after a general reason nobody can tell about single operators."""
    yield from _missing_data(path, model)
    general = [*_too_new(model)]
    yield from general
    if not general:
        yield from _operators(model)


def _missing_data(path: Path, model: onnx.ModelProto) -> Iterator[str]:
    named = {
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    for name in sorted(named):
        if not (path.parent / name).is_file():
            yield f"its weights are missing: there is no file {name} beside it"


def _too_new(model: onnx.ModelProto) -> Iterator[str]:
    """The opset or the file format, where ONNX Runtime refuses one node of it too."""
    for one in model.opset_import:
        if one.domain in _STANDARD and refusal(min(one.version, NEWEST_OPSET + 1)):
            yield (
                f"it is written for opset {one.version}, which this ONNX Runtime does not run; "
                f"export with opset_version={newest_opset()}, or install a newer onnxruntime"
            )
            return
    if refusal(7, model.ir_version):
        yield (
            f"its file format is IR version {model.ir_version}, which this ONNX Runtime does not "
            f"read; install a newer onnxruntime, or save it again with an older onnx"
        )


def newest_opset() -> int:
    """The newest opset that ONNX Runtime runs here."""
    opsets = range(NEWEST_OPSET, 0, -1)
    return next((opset for opset in opsets if not refusal(opset)), 0)


def _operators(model: onnx.ModelProto) -> Iterator[str]:
    """The operators that ONNX Runtime has no kernel for, each once with the types that reach it."""
    with contextlib.suppress(Exception):  # then only the types that stand in the file are known
        model = onnx.shape_inference.infer_shapes(model)
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*model.graph.value_info, *model.graph.input, *model.graph.output)
    } | {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    found: Counter[str] = Counter()
    opsets = {one.domain: one.version for one in model.opset_import}
    for node in refused_nodes(model):
        found[_refused(node, types, opsets)] += 1
    for reason, count in found.items():
        yield reason + (f" ({count} nodes)" if count > 1 else "")


def _refused(node: onnx.NodeProto, types: dict[str, int], opsets: dict[str, int]) -> str:
    domain = node.domain or "ai.onnx"
    if node.domain not in opsets:
        return f"{node.op_type} is of the domain {domain!r}, which the file does not import"
    version = opsets[node.domain]
    if node.domain not in _STANDARD:
        return f"{node.op_type} of the domain {domain!r} is no operator that ONNX Runtime knows"
    if not onnx.defs.has(node.op_type, version):
        return f"{node.op_type} is no operator of opset {version}"
    given = [
        TensorProto.DataType.Name(types[name]).lower() for name in node.input if types.get(name)
    ]
    kinds = ", ".join(dict.fromkeys(given))
    return f"{node.op_type} of opset {version} has no kernel for {kinds or 'these types'}"
