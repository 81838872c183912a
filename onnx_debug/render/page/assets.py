"""The browser side as text: scripts joined from plain ES modules, style sheets, one self-contained document."""

from __future__ import annotations

import base64
import functools
import html
import json
import re
from typing import Any

from onnx_debug.render.page.bundle import STATIC

_IMPORT = re.compile(r"^import \{[^}]*\} from '\./[\w-]+\.js';\n", re.M)
_EXPORT = re.compile(r"^export (?=(?:function|const|class) (\w+))", re.M)

# The parts of the panel, in the order in which they are joined.
SCRIPTS = (
    "dom",
    "divider",
    "press",
    "graph",
    "nodelist",
    "tree",
    "layer",
    "lists",
    "tabs",
    "graphtab",
    "panel",
    "notebook",
    "panel_widget",
)
STYLES = ("base", "graph", "tree", "panel")
# A saved page runs its own inline script and nothing else; it cannot send anything anywhere.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; worker-src blob:; font-src data:"


@functools.cache
def script(*names: str) -> str:
    """One ES module out of several, in order of dependence; `anywidget` takes a single text.

    The last file has the default export; of the others each keeps a scope of its own, and its
    exports are in sight of all after it.
    """
    *parts, last = ((STATIC / f"{name}.js").read_text(encoding="utf-8") for name in names)
    return "\n".join((*map(_scoped, parts), _IMPORT.sub("", last)))


def _scoped(text: str) -> str:
    exports = ", ".join(_EXPORT.findall(text))
    return f"const {{ {exports} }} = (() => {{\n{_EXPORT.sub('', _IMPORT.sub('', text))}\nreturn {{ {exports} }};\n}})();\n"


@functools.cache
def style(*names: str) -> str:
    """Style sheets, joined."""
    return "\n".join((STATIC / f"{name}.css").read_text(encoding="utf-8") for name in names)


@functools.cache
def notice() -> str:
    """The licence notices that travel with every copy of Netron."""
    return (STATIC / "NETRON-NOTICE.txt").read_text(encoding="utf-8")


def encode(data: bytes) -> str:
    """Bytes as text, for a saved page."""
    return base64.b64encode(data).decode("ascii")


def document(title: str, module: str, css: str, data: dict[str, Any], body: str = "") -> str:
    """One HTML file that needs nothing else: `module`'s default export is called with `#app` and `data`.

    Args:
        title: of the page, plain text.
        module: an ES module whose default export has `mount(element, data)`.
        css: style sheet.
        data: JSON-ready; every string in it is data and stays data.
        body: markup that is shown below, also where scripts do not run.
    """
    content = (
        json.dumps(data)
        .replace("<", "\\u003c")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )
    code = module.replace("export default", "const app =").replace("</script", "<\\/script")
    return f"""<!DOCTYPE html>
<!--
{notice()}
-->
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY)}">
<title>{html.escape(title)}</title>
<style>
{css}
</style>
</head>
<body class="od-page">
<div id="app"></div>
{body}
<script type="application/json" id="data">{content}</script>
<script type="module">
{code}
app.mount(document.getElementById('app'), JSON.parse(document.getElementById('data').textContent));
</script>
</body>
</html>
"""
