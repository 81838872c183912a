"""Netron as one classic script, made from the installed package when it is first shown.

Netron ships ES modules that import each other by relative address. They are rewritten into a
registry of functions, so that the viewer runs inside a sandboxed frame with neither a server nor a
request: works over any notebook transport, from a file, offline. Netron's own page asks the network
where the user is, reports usage, and stops working 180 days after its release; none of that is part
of what is taken here (`boot.js` replaces the host).
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.util
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parent / "static"

# ONNX needs these; format sniffing imports json, xml, tar and flatbuffers whatever the file is.
_ENTRIES = (
    *("browser", "view", "onnx", "onnx-proto", "onnx-schema", "dagre", "worker"),
    *("zip", "tar", "text", "json", "xml", "flatbuffers"),
)
_STATIC_IMPORT = re.compile(r"^import \* as (\w+) from '\./([\w-]+)\.js';", re.M)
_DYNAMIC_IMPORT = re.compile(r"(?<![.\w])import\('\./([\w-]+)\.js'\)")
_IMPORT_BY_ID = re.compile(r"(?<![.\w])import\(`\$\{id\}\.js`\)")
_EXPORT = re.compile(r"^export const (\w+) =", re.M)
_EXPORT_LIST = re.compile(r"^export const \{([\w\s,]+)\} =", re.M)
_LEFT_OVER = re.compile(
    r"^\s*(?:import\s+[\w*{'\"]|export\s).*|(?<![.\w])import\((?!\)|'(?:fs|zlib|worker_threads)'\)).*|import\.meta.*",
    re.M,
)


class NetronChangedError(Exception):
    """The installed netron is not built the way this file knows."""


@dataclass(frozen=True)
class Bundle:
    """The viewer, packed.

    Attributes:
        data: gzipped JSON: runtime, modules, boot script, style sheets, body markup, version.
        key: changes whenever the data does; the browser keeps one bundle for each page.
        version: of netron.
    """

    data: bytes
    key: str
    version: str


@functools.cache
def bundle() -> Bundle:
    """The viewer from the installed netron; made once per process.

    Raises:
        NetronChangedError: netron is absent, or its files no longer have the known form.
    """
    root = package()
    page = _read(root / "index.html")
    content: dict[str, Any] = {
        "version": version("netron"),
        "runtime": _read(STATIC / "runtime.js"),
        "boot": _read(STATIC / "picture.js") + _read(STATIC / "boot.js"),
        "modules": {name: wrap(name, _read(root / f"{name}.js")) for name in closure(root)},
        "styles": [
            _read(root / "grapher.css"),
            _between(page, "<style>", "</style>"),
            _read(STATIC / "frame.css"),
        ],
        "body": _between(page[page.index("<body") :], ">", "</body>"),
    }
    data = gzip.compress(json.dumps(content).encode(), 9, mtime=0)
    return Bundle(data, hashlib.sha256(data).hexdigest()[:16], version("netron"))


def package() -> Path:
    """The folder of the installed netron."""
    spec = importlib.util.find_spec("netron")
    if spec is None or spec.origin is None:
        raise NetronChangedError("netron is not installed; run: pip install netron")
    return Path(spec.origin).parent


def closure(root: Path) -> list[str]:
    """Names of the modules to take: the entries and whatever they import statically."""
    found: dict[str, None] = {}
    waiting = list(_ENTRIES)
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = None
            waiting.extend(match[1] for match in _STATIC_IMPORT.findall(_read(root / f"{name}.js")))
    return list(found)


def wrap(name: str, source: str) -> str:
    """One ES module as a function of the registry in `runtime.js`.

    Raises:
        NetronChangedError: an import or export has an unknown form. Better here than later in the
            browser.
    """
    exports = _EXPORT.findall(source)
    for names in _EXPORT_LIST.findall(source):
        exports += [item.strip() for item in names.split(",") if item.strip()]
    text = _STATIC_IMPORT.sub(r"const \1 = __req('\2');", source)
    text = _DYNAMIC_IMPORT.sub(r"__imp('\1')", text)
    text = _IMPORT_BY_ID.sub("__imp(id)", text)
    text = _EXPORT.sub(r"const \1 =", text)
    text = _EXPORT_LIST.sub(r"const {\1} =", text)
    left = _LEFT_OVER.search(text)
    if left is not None:
        raise NetronChangedError(
            f"netron {version('netron')}: {name}.js has a form unknown to this onnx_debug: {left[0].strip()[:100]!r}"
        )
    assigned = "".join(f"__exports.{item} = {item};\n" for item in exports)
    return f"__def({json.dumps(name)}, function (__exports, __req, __imp) {{ 'use strict';\n{text}\n{assigned}}});\n"


def operator_docs(operators: Iterable[tuple[str, str]]) -> str:
    """Netron's documentation of the operators used, as the JSON text it expects; the whole file is 5.6 MB."""
    wanted = {(domain or "ai.onnx", name) for domain, name in operators}
    found = [entry for key, entries in _all_docs().items() if key in wanted for entry in entries]
    return json.dumps(found)


@functools.cache
def _all_docs() -> dict[tuple[str, str], list[dict[str, Any]]]:
    try:
        entries = json.loads(_read(package() / "onnx-metadata.json"))
    except (NetronChangedError, ValueError):
        return {}  # only the side bar's explanations are lost
    table: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in entries:
        entry.pop("examples", None)  # half of the file
        table.setdefault((entry.get("module", ""), entry.get("name", "")), []).append(entry)
    return table


def _between(text: str, start: str, end: str) -> str:
    _, found, rest = text.partition(start)
    inner, closed, _ = rest.partition(end)
    if not found or not closed:
        raise NetronChangedError(f"netron {version('netron')}: index.html has no {start} … {end}")
    return inner


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NetronChangedError(f"netron {version('netron')} has no {path.name}") from error
