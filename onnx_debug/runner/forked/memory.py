"""How much memory there is: of a process, and free for another one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
# What the limit, the usage and the page cache (which the kernel gives back when it must) are
# called, in versions 2 and 1.
_GROUP_FILES = (
    (_GROUPS, "memory.max", "memory.current", "inactive_file"),
    (_GROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123 - read often
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def held_together(pids: Iterable[int]) -> int:
    """Bytes of memory that some processes hold, what they share counted once: forks share most of theirs."""
    return sum(_proportional(pid) for pid in pids)


def _proportional(pid: int) -> int:
    """The resident memory of a process, of shared pages its share only."""
    try:
        found = re.search(
            r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE
        )
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def free(share: float = 0.8) -> int | None:
    """That share of the memory that this process may still take, in bytes; None where the system does not say.

    In a container that is what the container's limit leaves, which may be far less than what the
    machine has.
    """
    found = list(_free_in_groups())
    try:
        machine = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        machine = None
    found += [int(machine[1]) * 1024] if machine else []
    return int(min(found) * share) if found else None


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
