"""A browser for the tests of what is shown. Without Chromium they are skipped, and say so."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# The clock of the page and of every frame in it, far enough ahead for Netron's own page to refuse
# to work.
LATER = """
const Now = Date;
Date = class extends Now {
    constructor(...given) { given.length ? super(...given) : super(Now.now() + 200 * 86400e3); }
    static now() { return Now.now() + 200 * 86400e3; }
};
"""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    if shutil.which("chromium") is None:
        pytest.skip("needs chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


def launch(playwright: Any) -> Any:
    """The system's Chromium, which asks nobody for anything by itself."""
    quiet = [
        "--no-sandbox",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
    ]
    return playwright.chromium.launch(executable_path=shutil.which("chromium"), args=quiet)


@pytest.fixture
def open_page(chromium: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`open_page(html, later=False, **context_options)` opens a file in a new page; `page.requests` and `page.errors` grow as it runs."""
    contexts = []

    def open_(html: str, later: bool = False, **options: Any) -> Any:
        path = tmp_path / f"page{len(contexts)}.html"
        path.write_text(html, encoding="utf-8")
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
        contexts.append(context)
        if later:
            context.add_init_script(LATER)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.requests = []
        page.errors = []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures of each state go, for people to look at."""
    folder = Path(__file__).parents[2] / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def oldest_netron() -> Path:
    """The folder of the oldest netron that pyproject.toml allows, kept in `build` from then on."""
    root = Path(__file__).parents[2]
    [version] = re.findall(r'"netron>=([\d.]+)', (root / "pyproject.toml").read_text())
    target = root / "build" / f"netron-{version}"
    if not target.exists():
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--retries=1",
            "--timeout=15",
        ]
        if subprocess.run(
            [*command, f"--target={target}", f"netron=={version}"], check=False
        ).returncode:
            pytest.skip(f"netron {version} cannot be fetched")
    return target / "netron"
