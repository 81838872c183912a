"""The lines behind the values of a file of the legacy exporter, kept beside it: the file itself does not hold them."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from onnx_debug.torch_private.graphs import Line, parse_source_range


def save(file: Path, stacks: Mapping[str, str]) -> None:
    """Keep the stack of each value of an ONNX file, as TorchScript wrote it; many values share one."""
    texts = list(dict.fromkeys(stacks.values()))
    position = {text: index for index, text in enumerate(texts)}
    values = {name: position[text] for name, text in stacks.items()}
    lines = [inside_the_export(parse_source_range(text)) for text in texts]
    _beside(file).write_text(json.dumps({"lines": lines, "values": values}), encoding="utf-8")


@functools.lru_cache(maxsize=2)
def read(file: Path) -> Mapping[str, list[Line]]:
    """(file, line) of the calls that led to each value, outermost first; empty for a file of the dynamo exporter."""
    try:
        kept = json.loads(_beside(file).read_text(encoding="utf-8"))
    except OSError:
        return {}
    lines = [[(name, number) for name, number in stack] for stack in kept["lines"]]
    return {name: lines[index] for name, index in kept["values"].items()}


def _beside(file: Path) -> Path:
    return file.with_name(file.name + ".lines.json")


def inside_the_export(lines: Sequence[Line]) -> list[Line]:
    """What the exporter called, of a whole stack (outermost first): what stands before it is the stack of whoever asked us."""
    exporter = str(Path(torch.onnx.__file__).parent)
    inside = itertools.takewhile(lambda line: not line[0].startswith(exporter), reversed(lines))
    return list(inside)[::-1]
