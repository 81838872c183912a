"""A real Jupyter kernel: nothing of a trial is heard in the notebook, and the kernel survives, is interrupted and ends cleanly."""

from __future__ import annotations

import textwrap
import time

import psutil
import pytest
from jupyter_client.manager import start_new_kernel

SETUP = """
    import asyncio, atexit, logging, os, sys, tempfile, threading, time, warnings
    warnings.simplefilter("ignore")
    tempfile.tempdir = {directory!r}
    atexit.register(lambda: open({directory!r} + "/exits", "a").write(str(os.getpid()) + "\\n"))
    import torch
    from torch import nn
    import onnx_debug
    from IPython.display import clear_output, display, HTML
    LEGACY = dict(dynamo=False, opset_version=17)
    X = torch.ones(2, 4)
    model = nn.Linear(4, 4).eval()
    logging.getLogger("user").addHandler(logging.StreamHandler(sys.stdout))
    held = sys.stdout

    class Hangs(nn.Module):
        def forward(self, x):
            while torch.jit.is_tracing():
                pass
            return x

    class HangsInEager(nn.Module):
        def forward(self, x):
            while True:
                pass
"""


class Notebook:
    def __init__(self, manager, client):
        self.manager, self.client = manager, client

    @property
    def process(self):
        return psutil.Process(self.manager.provisioner.pid)

    def start(self, cell):
        return self.client.execute(textwrap.dedent(cell))

    def messages(self, request, timeout=60):
        """(type, content) of everything that the notebook would show for a cell."""
        found = []
        while True:
            message = self.client.get_iopub_msg(timeout=timeout)
            if (
                message["parent_header"].get("msg_id") != request
                and message["msg_type"] != "stream"
            ):
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return found
            if message["msg_type"] not in ("status", "execute_input"):
                found.append((message["msg_type"], message["content"]))

    def run(self, cell):
        """What a cell shows, as text."""
        texts = []
        for kind, content in self.messages(self.start(cell)):
            assert kind != "error", "\n".join(content["traceback"])
            texts.append(content.get("text") or str(content.get("data", content)))
        return "".join(texts)


@pytest.fixture
def notebook(tmp_path):
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        made = Notebook(manager, client)
        made.run(SETUP.format(directory=str(tmp_path)))
        made.run("onnx_debug.diagnose(model, X, **LEGACY).ok")
        yield made
    finally:
        client.stop_channels()
        if manager.is_alive():
            manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def state_of(process):
    try:
        return process.status()
    except psutil.NoSuchProcess:
        return "gone"


def wait_for_children(notebook, number):
    limit = time.monotonic() + 20
    while len(notebook.process.children(recursive=True)) < number and time.monotonic() < limit:
        time.sleep(0.05)
    return notebook.process.children(recursive=True)


def test_nothing_is_heard_and_exit_handlers_run_once(notebook, tmp_path):
    notebook.run("import ipywidgets; bar = ipywidgets.IntProgress()")
    shown = notebook.run("""
        class Loud(nn.Module):
            def forward(self, x):
                print("LEAK print")
                print("LEAK stderr", file=sys.stderr)
                held.write("LEAK held stream\\n")
                held.flush()
                sys.stderr.write("\\rLEAK 50%|#####")
                os.write(1, b"LEAK descriptor\\n")
                os.system("echo LEAK shell")
                logging.getLogger("user").error("LEAK logger")
                logging.warning("LEAK root logger")
                warnings.warn("LEAK warning")
                display("LEAK display", HTML("<b>LEAK</b>"))
                clear_output()
                bar.value += 1
                bar.description = "LEAK widget"
                try:
                    input("LEAK prompt")
                except Exception:
                    pass
                return x

        for options in (LEGACY, {}):
            assert onnx_debug.diagnose(nn.Sequential(model, Loud()), X, **options).ok
        print("done", bar.value)
    """)
    assert shown == "done 0\n"
    assert notebook.run("print('next')") == "next\n"
    notebook.manager.shutdown_kernel()
    assert len((tmp_path / "exits").read_text().splitlines()) == 1


@pytest.mark.parametrize("model", ["Hangs()", "HangsInEager()"])
def test_an_interrupt_ends_everything(notebook, model):
    request = notebook.start(
        f"found = onnx_debug.diagnose(nn.Sequential(model, {model}), X, **LEGACY); print(found.stopped)"
    )
    children = wait_for_children(notebook, 2 if "Eager" in model else 3)
    time.sleep(0.5)
    begin = time.monotonic()
    notebook.manager.interrupt_kernel()
    shown = notebook.messages(request)
    assert (
        time.monotonic() - begin < 10
    )  # a second on a quiet machine; the trial itself would go on for a minute
    assert [content.get("text") for _, content in shown] == ["True\n"]
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not [child for child in alive if state_of(child) not in ("gone", psutil.STATUS_ZOMBIE)]
    assert notebook.run("print(onnx_debug.diagnose(model, X, **LEGACY).ok)") == "True\n"


SHOWN = """
    %load_ext onnx_debug
    from onnx_debug.frontends.panel.panel import panel

    class HangsWhile(nn.Module):
        def forward(self, x):
            while torch.jit.is_tracing() and os.path.exists({file!r}):
                pass
            return x

    whole = nn.Sequential(model, HangsWhile()).eval()
    shown = panel(onnx_debug.Session(whole, X, **LEGACY))
"""


def interrupted(notebook, cell):
    """Interrupt a cell whose trial hangs: (type, content) of what it shows, and which of the kernel's children are left."""
    request = notebook.start(cell)
    children = wait_for_children(notebook, 3)
    time.sleep(0.5)
    begin = time.monotonic()
    notebook.manager.interrupt_kernel()
    shown = notebook.messages(request)
    assert (
        time.monotonic() - begin < 10
    )  # a second on a quiet machine; the trial itself would go on for a minute
    return shown, [
        child for child in children if state_of(child) not in ("gone", psutil.STATUS_ZOMBIE)
    ]


def test_an_interrupt_pauses_a_panel_and_its_session_goes_on(notebook, tmp_path):
    file = tmp_path / "hang"
    file.touch()
    notebook.run(SHOWN.format(file=str(file)))
    shown, left = interrupted(notebook, "d = shown.run(); print(d.stopped, len(d.trials))")
    assert [content["text"] for kind, content in shown if kind == "stream"] == ["True 0\n"]
    assert len(left) == 2
    assert notebook.run(
        "shown.alone('0')\nshown.progress['running'], shown.steps[-1]['said']"
    ).endswith("(False, 'passed')\"}")
    file.unlink()
    assert "True, False" in notebook.run("d = shown.run(); (d.ok, d.stopped)")


def test_an_interrupt_of_the_magic_shows_what_was_found(notebook, tmp_path):
    file = tmp_path / "hang"
    file.touch()
    notebook.run(SHOWN.format(file=str(file)))
    shown, _ = interrupted(
        notebook, "%%onnx_export\ntorch.onnx.export(whole, (X,), dynamo=False, opset_version=17)"
    )
    (result,) = [
        content["data"]["text/plain"] for kind, content in shown if kind == "execute_result"
    ]
    assert "Paused after 0 trials" in result
    assert notebook.run("print(1)") == "1\n"


CELL = "%%onnx_export\ntorch.onnx.export(model, (X,), dynamo=False, opset_version=17)"


def test_twenty_runs_of_a_cell_leave_at_most_one_process(notebook):
    notebook.run("%load_ext onnx_debug")
    for _ in range(20):
        notebook.run(CELL)
    assert len(notebook.process.children(recursive=True)) <= 1


def test_a_cell_that_is_run_again_ends_the_search_of_its_last_run(notebook):
    notebook.run("%load_ext onnx_debug")
    step = CELL.replace("export", "export --step", 1)
    for _ in range(3):
        notebook.run(step)
        notebook.run(
            "from onnx_debug.frontends.magic import OnnxDebugMagics as M\n"
            "magics = get_ipython().magics_manager.registry['OnnxDebugMagics']\n"
            "[p.step() for all in magics._panels.values() for p in all]"
        )
    assert len(notebook.process.children(recursive=True)) <= 2


def test_a_diagnosis_shown_in_a_later_cell_shows_all(notebook):
    notebook.run("%load_ext onnx_debug")
    assert "onnx-debug-saved" in notebook.run(CELL)
    later = notebook.run("_")
    assert "<section" in later
    assert "onnx-debug-saved" not in later


def test_outside_of_its_cell_the_exporter_is_torch_s_own(notebook, tmp_path):
    notebook.run(
        "%load_ext onnx_debug\nimport functools\nheld = functools.partial(torch.onnx.export)"
    )
    notebook.run(CELL)
    notebook.run(f"held(model, (X,), '{tmp_path}/plain.onnx', dynamo=False, verbose=False)")
    assert (tmp_path / "plain.onnx").exists()


@pytest.mark.parametrize("busy", [True, False])
@pytest.mark.parametrize("restart", [True, False])
def test_the_end_of_a_kernel_ends_everything(notebook, tmp_path, restart, busy):
    notebook.run(
        "session = onnx_debug.Session(nn.Sequential(model, Hangs()), X, **LEGACY); session.probe('0')"
    )
    if busy:
        notebook.start("session.run()")
    children = wait_for_children(notebook, 3 if busy else 2)
    if restart:
        notebook.manager.restart_kernel(now=True)
    else:
        notebook.process.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not [
        child for child in alive if state_of(child) not in ("gone", psutil.STATUS_ZOMBIE)
    ]  # who reaps orphans is the system's affair
    assert not list(tmp_path.glob("onnx_debug_*"))


BUSY = """
    import tqdm

    held = threading.RLock()

    def repeat(work):
        def forever():
            while True:
                work()
                time.sleep(0.001)
        threading.Thread(target=forever, daemon=True).start()

    def log():  # as a drawing library does behind the user's back: its own lock, the logging locks, the streams' locks
        with held:
            logging.getLogger("busy").warning("x")
            sys.stdout.flush()

    def load():  # the import lock
        sys.modules.pop("tabnanny", None)
        import tabnanny

    async def tick():
        await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.001)

    logging.getLogger("busy").propagate = False
    logging.getLogger("busy").addHandler(logging.NullHandler())
    repeat(lambda: torch.randn(64, 64) @ torch.randn(64, 64))
    repeat(log)
    repeat(load)
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    repeat(lambda: asyncio.run_coroutine_threadsafe(tick(), loop).result())
    tqdm.tqdm.monitor_interval = 0.01
    batches = iter(torch.utils.data.DataLoader(torch.arange(1000), num_workers=2, persistent_workers=True))
    bar = tqdm.tqdm(total=8, file=open(os.devnull, "w"))
"""


def test_threads_a_loop_a_bar_and_a_loader_do_not_matter(notebook):
    notebook.run(BUSY)
    for _ in range(8):
        assert (
            notebook.run(
                "print(onnx_debug.diagnose(model, X, **LEGACY).ok)\nnext(batches)\nbar.update();"
            )
            == "True\n"
        )
