"""One model as the metrics see it: facts about it, each worked out only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netwright.core.cost import Cost
from netwright.evaluation.latency import LatencyProtocol

if TYPE_CHECKING:
    from netwright.search_spaces.graph import LayerGraph

Session = Callable[[np.ndarray], np.ndarray]
"""An exported model in its runtime: a float32 batch in, the outputs out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What can be asked of one model.

    `cost` needs no training; `scores` are the task's scores on the validation split; `session` runs and
    `file` is the exported model; `example` is a preprocessed float32 batch [batch, *shape]. `graph` is the network as
    operations, where there is one, and `latency_table` the device's table in which their times are looked up.
    Callables may be called by several metrics: the one who makes the subject caches what is expensive.
    """

    cost: Callable[[], Cost]
    scores: Callable[[], dict[str, float]]
    session: Callable[[], Session]
    file: Callable[[], Path]
    example: np.ndarray
    latency: LatencyProtocol = field(default_factory=LatencyProtocol.screening)
    graph: Callable[[], LayerGraph] | None = None
    latency_table: Path | None = None
