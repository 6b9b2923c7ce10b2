"""How metrics are called on screens."""

from __future__ import annotations

import pytest

from netwright.dashboards.labels import axis, column, worded


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("nmse_db", "NMSE (dB)"),
        ("validation_nmse_db", "validation NMSE (dB)"),
        ("step_error", "wrong steps"),
        ("roc_auc of dot", "ROC AUC of dot"),
    ],
)
def test_a_score_has_the_name_of_its_field_and_its_unit(key: str, title: str) -> None:
    assert axis(key)["title"]["text"] == title


def test_a_bit_error_rate_is_no_percentage() -> None:
    assert column("step_error").kind == "number"


def test_a_unit_is_said_once() -> None:
    assert worded("latency_ms 0.57 ms is above the bound 0.5 ms") == "latency 0.57 ms is above the bound 0.5 ms"
    assert worded("the highest accuracy with latency_ms at most 0.5") == (
        "the highest accuracy with latency (ms) at most 0.5"
    )
    assert worded("size_bytes 9e+06 bytes is above the bound 100 bytes").count("bytes") == 2
