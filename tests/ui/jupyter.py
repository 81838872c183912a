"""A real Jupyter server, and a notebook in it as a person sees it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).parents[2]
TOKEN = "test"
KERNEL = {
    "kernelspec": {"name": "python3", "display_name": "Python 3"}
}  # without it the browser asks for one
_QUIET = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}

# The notebook's own words, by its public application object: the indicator says "idle" before there
# is a kernel at all.
READY = """() => {
    const context = window.jupyterapp?.shell?.currentWidget?.context;
    const kernel = context?.isReady && context.sessionContext.isReady && context.sessionContext.session?.kernel;
    return Boolean(kernel) && kernel.connectionStatus === 'connected' && kernel.status === 'idle';
}"""
RUN = """async (index) => {
    const widget = window.jupyterapp.shell.currentWidget;
    widget.content.activeCellIndex = index;
    await window.jupyterapp.commands.execute('notebook:run-cell');
    return widget.content.model.cells.get(index).toJSON().outputs;
}"""


@dataclass
class Server:
    """A running server."""

    url: str
    folder: Path
    app: str  # lab or notebook


@contextmanager
def serve(folder: Path, app: str) -> Iterator[Server]:
    """Start JupyterLab (`lab`) or Notebook 7 (`notebook`) on `folder`, with settings of its own."""
    port = _free_port()
    (folder / "settings/@jupyterlab/apputils-extension").mkdir(parents=True)
    (
        folder / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    ).write_text(json.dumps(_QUIET))
    config = {
        name: str(folder / name.lower())
        for name in (
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_DATA_DIR",
            "JUPYTER_RUNTIME_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
            "IPYTHONDIR",
        )
    }
    (folder / "tmp").mkdir()  # kernels end without cleaning up
    ours = {
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(folder / "tmp"),
    }
    environment = {**os.environ, **config, **ours}
    options = [
        *(
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            f"--port={port}",
            "--port-retries=0",
            f"--ServerApp.root_dir={folder}",
        ),
        *(
            f"--IdentityProvider.token={TOKEN}",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.news_url=None",
        ),
        *(
            "--JupyterNotebookApp.expose_app_in_browser=True",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ),
    ]
    command = [sys.executable, "-m", {"lab": "jupyterlab", "notebook": "notebook"}[app], *options]
    log = (folder / "server.log").open("w")
    process = subprocess.Popen(
        command, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/api?token={TOKEN}", process, folder / "server.log")
        yield Server(url, folder, app)
    finally:
        os.killpg(
            process.pid, signal.SIGKILL
        )  # asked politely, it takes half a minute; kernels end when their server is gone
        process.wait(20)
        log.close()


OUTPUTS = "(index) => window.jupyterapp.shell.currentWidget.content.model.cells.get(index).toJSON().outputs"


class Notebook:
    """A notebook open in a page. `requests` are all addresses that the page asked for, `errors` what went wrong in its scripts."""

    def __init__(self, server: Server, context: Any, name: str, *cells: str) -> None:
        self.server, self.page, self.name = server, context.new_page(), name
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.set_default_timeout(30_000)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console",
            lambda line: (
                self.errors.append(line.text) if "Error setting state" in line.text else None
            ),
        )
        made = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=KERNEL
        )
        nbformat.write(made, server.folder / name)
        self.open()

    def open(self) -> None:
        """Open the notebook, or reload it; the kernel lives on."""
        place = "lab/tree" if self.server.app == "lab" else "notebooks"
        reset = "&reset" if self.server.app == "lab" else ""
        self.page.goto(f"{self.server.url}/{place}/{self.name}?token={TOKEN}{reset}")
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        for _ in range(300):
            if self.page.evaluate(READY):
                return
            self.page.wait_for_timeout(100)
        raise TimeoutError("the kernel did not get ready")

    def start(self, index: int) -> None:
        """Begin to run a cell, without waiting for its end."""
        self.page.evaluate(f"(index) => {{ window.running = ({RUN})(index); }}", index)

    def run(self, index: int) -> list[dict[str, Any]]:
        """Run a cell to its end; its outputs. An error in it is ours."""
        outputs: list[dict[str, Any]] = self.page.evaluate(RUN, index)
        for output in outputs:
            assert output["output_type"] != "error", "\n".join(output["traceback"])
        return outputs

    def write(self, index: int, text: str) -> None:
        """Put other code into a cell."""
        self.page.evaluate(
            "([index, text]) => window.jupyterapp.shell.currentWidget.content.model.cells.get(index).sharedModel.setSource(text)",
            [index, text],
        )

    def value(self, index: int) -> str:
        """What the cell's last expression shows as text."""
        outputs = self.run(index)
        for _ in range(100):  # an output can come after the command has resolved
            if outputs:
                return str(outputs[-1]["data"]["text/plain"])
            self.page.wait_for_timeout(100)
            outputs = self.page.evaluate(OUTPUTS, index)
        raise TimeoutError(f"cell {index} shows nothing")

    def becomes(self, index: int, text: str) -> None:
        """The cell's last expression comes to show `text`: what the page tells the kernel can arrive after the cell."""
        for _ in range(20):
            shown = self.value(index)
            if shown == text:
                return
            self.page.wait_for_timeout(200)
        raise AssertionError(f"cell {index} shows {shown}, not {text}")

    def panel(self, which: int = 0) -> Any:
        """The panel on the page."""
        return self.page.locator(".od-panel").nth(which)

    def graph(self, which: int = 0) -> Any:
        """What is inside the graph's frame."""
        return self.panel(which).frame_locator("iframe.od-netron")

    def save(self) -> str:
        """Save the notebook; the file's text."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        return (self.server.folder / self.name).read_text()

    def outside(self) -> list[str]:
        """Requests that left the server."""
        return [
            url
            for url in self.requests
            if not url.startswith((self.server.url, "blob:", "data:", "about:"))
        ]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.2)
    raise RuntimeError(f"the server did not start:\n{log.read_text()[-3000:]}")
