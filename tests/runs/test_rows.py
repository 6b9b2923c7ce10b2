"""The rows that commands print: a latency is a number, and says when it is too noisy to be a result."""

from __future__ import annotations

from typing import Any

import pytest

from netwright.compression.model import Note
from netwright.runs.rows import stage_row, table_columns

LATENCY = {"median_ms": 0.5, "cpu_median_ms": 0.4, "noisy": True}


def noisy(statistic: str = "wall") -> dict[str, Any]:
    figures = {"latency_ms": None, "speedup_text": "NOISY", "latency": LATENCY, "protocol": {"statistic": statistic}}
    return {"stage": "quantize", "accuracy": 0.9, **figures}


@pytest.mark.parametrize(("statistic", "shown"), [("wall", 0.5), ("cpu", 0.4)])
def test_a_noisy_latency_is_its_median_and_is_marked(statistic: str, shown: float) -> None:
    row = stage_row(noisy(statistic))
    assert row["latency_ms"] == shown
    assert row["latency_noisy"] is True
    assert row["speed-up"] == "NOISY"


def test_the_mark_is_a_column_only_where_something_is_marked() -> None:
    steady = stage_row({**noisy(), "latency_ms": 0.5, "latency": {**LATENCY, "noisy": False}})
    assert steady["latency_noisy"] is False
    assert "latency_noisy" not in table_columns([steady])
    assert "latency_noisy" in table_columns([steady, stage_row(noisy())])


def test_a_latency_that_was_not_measured_stays_empty() -> None:
    row = stage_row({"stage": "original", "accuracy": 0.9, "latency_ms": None})
    assert row["latency_ms"] is None
    assert row["latency_noisy"] is False


def test_a_stage_tells_what_it_reached_in_words_and_numbers() -> None:
    whole = Note("quantize", "", "quantized", "static: 90% of the MACs", {"int8_params": 0.8, "int8_macs": 0.9})
    notes = [Note.from_json(note.to_json()).to_json() for note in (whole, Note("quantize", "fc", "left alone", "why"))]
    row = stage_row({"stage": "quantize", "accuracy": 0.9, "latency_ms": 1.0, "notes": notes})
    assert row["did"] == "static: 90% of the MACs"
    assert row["coverage"] == {"int8_params": 0.8, "int8_macs": 0.9}
    assert not {"did", "coverage"} & set(table_columns([row]))
    assert "figures" not in notes[1]
