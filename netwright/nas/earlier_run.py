"""What an earlier run found: its finished trials, as a new search would rank them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

from netwright.core.records import Measurement, Objective, Trial, TrialState
from netwright.nas.evidence import gather
from netwright.nas.ranking import ranking

RECORD = "run.db"
"""The record in a run folder; docs/run-folder.md says what is in it."""


@lru_cache(maxsize=8)
def finished(folder: Path, changed_ns: int, objectives: tuple[Objective, ...]) -> tuple[Mapping[str, Any], ...]:
    """The decisions of the trials that were trained to their end, best first by `objectives`.

    `changed_ns` is the record's time of change, so that a new one is read anew. Raises sqlite3.Error where the
    record cannot be read.
    """
    del changed_ns
    with closing(sqlite3.connect(f"{(folder / RECORD).absolute().as_uri()}?mode=ro", uri=True)) as database:
        done = database.execute("select number, value from nw_trials where state = 'done' order by number").fetchall()
        values = database.execute("select trial, metric, value from nw_measurements where value is not null").fetchall()
    measured: dict[int, dict[str, Measurement]] = {}
    for number, metric, value in values:
        measured.setdefault(number, {})[metric] = Measurement(metric=metric, value=value)
    trials = [
        Trial(
            number=number,
            decisions=json.loads(text)["decisions"],
            identity=str(number),
            state=TrialState.DONE,
            measurements=measured.get(number, {}),
        )
        for number, text in done
    ]
    return tuple(item.trial.decisions for item in ranking(gather(trials, objectives)))
