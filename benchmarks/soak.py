"""Many diagnoses in one real Jupyter kernel, every tenth of a model that crashes or hangs: what is left of them in the kernel?

    python benchmarks/soak.py --count 100

Prints the kernel's memory, descriptors, child processes and temporary files before and after; exits
with 1 when anything but memory is left, or when memory grew by 50 MB or more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import psutil
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

MOST_GROWTH = 50.0  # MB
WARM_UP = 5  # diagnoses before the first measurement: imports, and the exporter's tables

SETUP = """
import gc, os, signal, tempfile, warnings
warnings.simplefilter("ignore")
tempfile.tempdir = {directory!r}
import torch
from torch import nn
import onnx_debug

class Faulty(nn.Module):
    def __init__(self, fault):
        super().__init__()
        self.fault = fault
    def forward(self, x):
        if self.fault == "translate":
            return x + torch.linalg.qr(x)[0].sum()
        if torch.compiler.is_exporting() or torch.jit.is_tracing():
            if self.fault == "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            while self.fault == "hang":
                pass
        return x

def model(fault):
    return nn.Sequential(nn.Linear(64, 64), nn.Sequential(nn.ReLU(), Faulty(fault)), nn.Linear(64, 64)).eval()

def diagnose(number):
    fault = ("crash", "hang")[number // 10 % 2] if number % 10 == 9 else ("none", "translate")[number % 2]
    options = {{}} if number % 4 < 2 else dict(dynamo=False, opset_version=17)
    found = onnx_debug.diagnose(model(fault), torch.ones(8, 64), timeout=60.0 if fault != "hang" else 6.0, **options)
    expected = [] if fault == "none" else ["1.1"]
    assert [culprit.fqn for culprit in found.culprits] == expected, (number, fault, found)
    assert (str(found.failure.mode) if found.failure else "") == dict(none="", translate="error", crash="crash", hang="timeout")[fault]
"""


def main() -> int:
    """Run the soak and say what is left."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100, help="number of diagnoses (default: 100)")
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as directory:
        manager, client = start_new_kernel(kernel_name="python3")
        try:
            process = psutil.Process(manager.provisioner.pid)
            run(client, SETUP.format(directory=directory))
            for number in range(WARM_UP):
                run(client, f"diagnose({number})")
            before, start = measure(process, client, Path(directory)), time.monotonic()
            for number in range(count):
                run(client, f"diagnose({number})")
                if number % 20 == 19:
                    print(
                        f"{number + 1:5d}  {measure(process, client, Path(directory))['memory, MB']:.0f} MB",
                        flush=True,
                    )
            seconds = time.monotonic() - start
            after = measure(process, client, Path(directory))
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    print(f"{count} diagnoses in {seconds:.0f} s")
    for name in before:
        print(f"{name:18} {before[name]:8.0f} -> {after[name]:8.0f}")
    grown = after.pop("memory, MB") - before.pop("memory, MB")
    return int(grown >= MOST_GROWTH or after != before)


def run(client: BlockingKernelClient, code: str) -> None:
    reply = client.execute(code, reply=True, timeout=300, store_history=False)
    if reply["content"]["status"] != "ok":
        raise SystemExit("\n".join(reply["content"]["traceback"]))


def measure(
    process: psutil.Process, client: BlockingKernelClient, directory: Path
) -> dict[str, float]:
    run(client, "gc.collect()")
    return {
        "memory, MB": process.memory_info().rss / 1e6,
        "descriptors": process.num_fds(),
        "threads": process.num_threads(),
        "child processes": len(process.children(recursive=True)),
        "temporary files": len([*directory.rglob("onnx_debug_*")]),
    }


if __name__ == "__main__":
    sys.exit(main())
