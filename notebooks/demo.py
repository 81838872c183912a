"""`make demo`: diagnose real transformers models that do not export, then run the quickstart notebook from start to end.

The models have random weights and small sizes, so nothing is downloaded. One by one: `python -m onnx_debug notebooks/demo.py:longformer`.
Reports and the executed notebook go to `demo_output/`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers

import onnx_debug
from onnx_debug.frontends.progress_line import Progress, terminal_writer
from onnx_debug.render import text

HERE = Path(__file__).parent
OUTPUT = HERE.parent / "demo_output"
SMALL = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}

Case = tuple[torch.nn.Module, tuple[Any, ...]]


def mixtral() -> Case:
    """Mixture of experts: the default expert kernel is an operator that ONNX does not know."""
    config = transformers.MixtralConfig(
        **SMALL, num_key_value_heads=2, num_local_experts=4, use_cache=False
    )
    return _model(transformers.MixtralModel, config), (_tokens(),)


def t5_encoder() -> Case:
    """T5: its attention leaves strides that the exporter's decompositions cannot view."""
    config = transformers.T5Config(
        vocab_size=100, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4
    )
    return _model(transformers.T5EncoderModel, config), (_tokens(),)


def longformer() -> Case:
    """Longformer: whether any token has global attention is asked of a tensor, in Python."""
    config = transformers.LongformerConfig(
        **SMALL, attention_window=[8, 8], max_position_embeddings=64
    )
    return _model(transformers.LongformerModel, config), (_tokens(),)


def _model(kind: type[torch.nn.Module], config: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    return kind(config).eval()


def _tokens() -> torch.Tensor:
    return torch.arange(3, 19).reshape(1, 16)


def show(make: Callable[[], Case]) -> bool:
    """Diagnose one model, print the answer, write the report; True when a culprit was found."""
    model, args = make()
    print(f"\n── {type(model).__name__}: {(make.__doc__ or '').strip()}\n")
    with Progress(terminal_writer()) as progress:
        diagnosis = onnx_debug.diagnose(model, args, on_event=progress)
    print(text.render(diagnosis))
    print(f"  Report: {diagnosis.save_html(OUTPUT / f'{make.__name__}.html')}")
    return bool(diagnosis.culprits)


def run_quickstart() -> None:
    """Execute the notebook in a fresh kernel; an unexpected error in it ends the demo."""
    import nbclient
    import nbformat

    began = time.monotonic()
    notebook = nbformat.read(HERE / "01_quickstart.ipynb", as_version=4)
    print(f"\n── The quickstart notebook, {len(notebook.cells)} cells, in a kernel of its own\n")
    at = {"cell": 0}  # which one runs

    def say() -> None:
        first, *_ = [*notebook.cells[at["cell"]].source.splitlines(), ""]
        passed = time.monotonic() - began
        print(
            f"  {passed:3.0f} s  cell {at['cell'] + 1} of {len(notebook.cells)}: {first}",
            flush=True,
        )

    def started(cell: Any, cell_index: int) -> None:
        at["cell"] = cell_index
        if cell.cell_type == "code":
            say()

    client = nbclient.NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(OUTPUT)}},
        on_cell_start=started,
    )
    with every(8.0, say):
        client.execute()
    executed = OUTPUT / "01_quickstart.ipynb"
    nbformat.write(notebook, executed)
    print(f"  It ran from start to end in {time.monotonic() - began:.0f} s: {executed}")


@contextmanager
def every(seconds: float, say: Callable[[], None]) -> Iterator[None]:
    """Say where it is again and again, so that nobody waits in silence."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            say()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def main() -> int:
    """Run everything; the exit status tells whether every model got its answer."""
    OUTPUT.mkdir(exist_ok=True)
    found = [show(make) for make in (mixtral, t5_encoder, longformer)]
    run_quickstart()
    print(f"\nOpen {OUTPUT / 'longformer.html'} in a browser, or the notebook live: make lab")
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
