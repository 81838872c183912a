"""Netron's modules as one script: complete, or a clear refusal."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from onnx_debug.render.page import bundle


def content() -> dict[str, object]:
    return json.loads(gzip.decompress(bundle.bundle().data))


def test_the_installed_netron_is_understood() -> None:
    modules = content()["modules"]
    assert {"browser", "view", "onnx", "dagre", "worker", "protobuf", "grapher"} <= set(modules)
    assert not {"python", "hdf5", "pytorch"} & set(modules)


def test_the_viewer_is_small() -> None:
    assert len(bundle.bundle().data) < 260_000


def test_imports_and_exports_are_rewritten() -> None:
    source = "\n".join(
        (
            "import * as base from './base.js';",
            "const f = () => import('./zip.js');",
            "export const A = m;",
            "export const { B, C } = m;",
        )
    )
    text = bundle.wrap("m", source)
    assert "const base = __req('base');" in text
    assert "__imp('zip')" in text
    assert "__exports.A = A;" in text
    assert "__exports.C = C;" in text
    assert "export const" not in text


def test_methods_called_import_are_left_alone() -> None:
    assert "await zip.Archive.import();" in bundle.wrap(
        "m", "await zip.Archive.import();\nclass X { async import() {} }"
    )


@pytest.mark.parametrize(
    "source",
    [
        "import { a } from './b.js';",
        "import './b.js';",
        "export default 1;",
        "export function f() {}",
        "import(`./${x}.js`)",
        "import.meta.url",
    ],
)
def test_unknown_forms_are_refused(source: str) -> None:
    with pytest.raises(bundle.NetronChangedError, match=r"m\.js"):
        bundle.wrap("m", source)


def test_a_missing_file_is_a_clear_refusal(tmp_path: Path) -> None:
    with pytest.raises(bundle.NetronChangedError, match=r"no browser\.js"):
        bundle.closure(tmp_path)


def test_only_the_operators_used_bring_their_documentation() -> None:
    docs = json.loads(bundle.operator_docs([("", "Relu"), ("onnx_debug", "BadQr")]))
    assert {entry["name"] for entry in docs} == {"Relu"}
    assert all("examples" not in entry for entry in docs)
