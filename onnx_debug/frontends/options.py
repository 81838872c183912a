"""The options that the magics and the command line share."""

from __future__ import annotations

import argparse
from typing import Any

OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("-o", "--output"),
        {"metavar": "FILE", "help": "Write the model there when it exports (torch's `f`)."},
    ),
    (
        ("--opset",),
        {"type": int, "metavar": "N", "help": "Target opset (torch's `opset_version`)."},
    ),
    (
        ("--legacy",),
        {"action": "store_true", "help": "Use the TorchScript exporter (dynamo=False)."},
    ),
    (
        ("--timeout",),
        {
            "type": float,
            "default": 60.0,
            "metavar": "SECONDS",
            "help": "Time limit of one trial; 60 unless told.",
        },
    ),
    (
        ("--edges",),
        {
            "choices": ("report", "strict", "off"),
            "default": "report",
            "help": "Zeros, ties, NaN, sizes of 1: report a difference, let it fail the export, or do not try.",
        },
    ),
    (
        ("--no-isolation",),
        {"action": "store_true", "help": "Run trials in this process; a crash then takes it down."},
    ),
    (
        ("--no-fixes",),
        {"action": "store_true", "help": "Find the culprits only; do not try fixes."},
    ),
    (("--log",), {"action": "store_true", "help": "Print the exporter's full verbose log."}),
    (
        ("--static",),
        {"action": "store_true", "help": "Show the report only, without the live panel."},
    ),
    (("-q", "--quiet"), {"action": "store_true", "help": "Show no progress."}),
)


def to_keywords(options: argparse.Namespace) -> dict[str, Any]:
    """The keywords of `diagnose` that these options ask for; export options that were not given are left out."""
    keywords: dict[str, Any] = {
        "timeout": options.timeout,
        "edges": options.edges,
        "isolate": not options.no_isolation,
        "fixes": not options.no_fixes,
    }
    if options.output is not None:
        keywords["f"] = options.output
    if options.opset is not None:
        keywords["opset_version"] = options.opset
    if options.legacy:
        keywords["dynamo"] = False
    return keywords
