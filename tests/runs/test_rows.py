"""The rows that commands print: a latency is a number, and says when it is too noisy to be a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from netwright.compression.model import Note
from netwright.core.records import Objective
from netwright.runs.rows import stage_row, summary_sentence, table_columns
from netwright.runs.view import RunView

LATENCY = {"median_ms": 0.5, "cpu_median_ms": 0.4, "noisy": True}


def summary_of(last: dict[str, Any], **more: Any) -> str:
    """What is said of a run whose one compression stage is `last`, from an input of 100 bytes."""
    facts: dict[str, Any] = {"specification": {}, "objectives": (), "units": {}, "trials": (), "asked": 0, "counts": {}}
    stages = [{"stage": "original", "size_bytes": 100}, last]
    return summary_sentence(
        RunView(path=Path(), name="n", state="searched", sequence=0, stages=stages, **facts, **more)
    )


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


@pytest.mark.parametrize(
    ("text", "high", "told"), [("0.67x (0.60 to 0.75)", 0.75, True), ("1.01x (0.96 to 1.05)", 1.05, False)]
)
def test_the_summary_says_when_what_is_smaller_is_slower(text: str, high: float, told: bool) -> None:
    last = {"stage": "quantize", "size_bytes": 50, "speedup_text": text, "latency": {"speedup_high": high}}
    said = summary_of(last)
    assert said.startswith(f"2.00x smaller on disk (100 -> 50 bytes), {text} as fast by the protocol")
    assert ("slower, kept for its other gains; `compress.bounds.slowdown: 0`" in said) is told


@pytest.mark.parametrize(("size", "coded", "told"), [(100, 20, True), (100, 90, False), (20, 20, False)])
def test_the_summary_says_what_coding_would_gain(size: int, coded: int, told: bool) -> None:
    said = summary_of({"stage": "share_weights", "size_bytes": size, "coded_bytes": coded, "speedup_text": "NOISY"})
    assert ("With entropy_code as the last pass it would be 5.00x: an archive of 20 bytes." in said) is told


def test_a_pass_that_was_rolled_back_may_have_broken_a_bound() -> None:
    said = summary_of({"stage": "structured_prune", "size_bytes": 50, "kept": False})
    assert said.endswith("Rolled back for breaking a bound or for no gain: structured_prune; the report says which.")


def test_a_pass_that_could_not_be_done_was_not_rolled_back() -> None:
    said = summary_of({"stage": "quantize", "size_bytes": None, "kept": False, "reason": "nothing to quantize"})
    assert said.endswith("Could not be done: quantize; the report says why.")
    assert "Rolled back" not in said


def test_scores_in_the_units_of_the_data_are_told_without_powers_of_ten() -> None:
    score = Objective(metric="rmse", direction="minimize")
    tested = {"winner": {"rmse": 15937500.68}, "model.int8.onnx": {"rmse": 15900000.2, "mae": 0.0123456, "n": 200}}
    text = summary_of({"stage": "quantize", "size_bytes": 50, "kept": True}, score=score, test=tested)
    assert "Test rmse 15,937,501 -> 15,900,000 (-37,500, 200 samples, read once)." in text


@pytest.mark.parametrize(("alone", "told"), [(0.5, "on the same samples."), (0.9, "; the network is no better.")])
def test_a_network_that_is_no_better_than_none_is_said_to_be(alone: float, told: str) -> None:
    tested = {name: {"accuracy": 0.9, "n": 10, "sha256": name} for name in ("winner", "model.onnx")}
    said = summary_of(
        {"stage": "quantize", "size_bytes": 50, "kept": False},
        test=tested,
        without_network={"answer": "always answering the most frequent class", "accuracy": alone},
    )
    line = next(line for line in said.splitlines() if line.startswith("Without a network"))
    assert line.endswith(told)
