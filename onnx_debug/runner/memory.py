"""How much memory there is: of a process, and free for another one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import psutil

_GROUPS = Path("/sys/fs/cgroup")
# What the limit, the usage and the page cache (which the kernel gives back when it must) are
# called, in versions 2 and 1.
_GROUP_FILES = (
    (_GROUPS, "memory.max", "memory.current", "inactive_file"),
    (_GROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 for one that is gone."""
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def held(pid: int, *, family: bool) -> int:
    """Bytes of memory that a process holds, with all that it started where `family` is true, which takes longer to find out.

    What they share counts once: forks share most of theirs.
    """
    own = resident(pid)
    if not family:
        return own
    with contextlib.suppress(psutil.Error):
        below = psutil.Process(pid).children(recursive=True)
        if below:
            return max(own, sum(map(_proportional, (psutil.Process(pid), *below))))
    return own


def _proportional(process: psutil.Process) -> int:
    """The resident memory of a process, of shared pages its share only."""
    with contextlib.suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return 0


def free(share: float = 0.8) -> int:
    """That share of the memory that this process may still take, in bytes.

    In a container that is what the container's limit leaves, which may be far less than what the
    machine has.
    """
    found = list(_free_in_groups())
    return int(min([*found, psutil.virtual_memory().available]) * share)


def _free_in_groups() -> Iterator[int]:
    """What each control group that this process is in has left."""
    try:
        paths = {
            line.split(":", 2)[2].strip().lstrip("/")
            for line in Path("/proc/self/cgroup").read_text().splitlines()
        }
    except (OSError, IndexError):
        return
    for root, limit, usage, cache in _GROUP_FILES:
        places = {
            place
            for path in paths
            for place in ((root / path), *(root / path).parents)
            if place.is_relative_to(root)
        }
        for place in places | {root}:
            try:
                reserved = int((place / usage).read_text())
                kept = re.search(
                    rf"^{cache} (\d+)", (place / "memory.stat").read_text(), re.MULTILINE
                )
                yield max(
                    0, int((place / limit).read_text()) - reserved + (int(kept[1]) if kept else 0)
                )
            except (OSError, ValueError):  # no such group, or "max"
                continue
