"""A run as its readers see it: everything recorded, nothing that changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netwright.core.records import Objective, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """What is known of a run at one moment.

    `stages` are the rows of the compression table in order, beginning with the uncompressed winner:
    stage, accuracy, latency_ms, params, macs, size_bytes, peak_activation_bytes, and beside them
    kept, reason, seconds, file, latency (all figures of the protocol), protocol, coverage, sha256.
    `winner` tells which trial was chosen, by which rule, and how its full training went.
    `test` holds the figures read once from the test split: one entry per exported model.
    `sequence` grows with every change, so that a reader knows whether there is news.
    """

    path: Path
    name: str
    state: str
    sequence: int
    specification: Mapping[str, Any]
    objectives: Sequence[Objective]
    units: Mapping[str, str]
    trials: Sequence[Trial]
    asked: int
    wanted: int
    counts: Mapping[str, int]
    graphs: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    winner: Mapping[str, Any] | None = None
    stages: Sequence[Mapping[str, Any]] = ()
    parity: Sequence[Mapping[str, Any]] = ()
    test: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()
    bundle: Path | None = None
    report: Path | None = None
