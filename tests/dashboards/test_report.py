"""The report is one whole file that loads nothing, and texts in it are only texts."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from run_views import PAYLOAD, VIEWS, full_run, large_run

from netwright.dashboards.report import report_page, write_report, write_report_numbers


@pytest.mark.parametrize("case", VIEWS)
def test_report_of_every_run_is_one_page_with_its_data(case: str, tmp_path: Path) -> None:
    path = write_report(VIEWS[case](), tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert len(data["panels"]) >= 10
    assert list(tmp_path.iterdir()) == [path]


def test_report_refers_to_nothing_outside() -> None:
    head, _, _ = report_page(full_run()).partition('id="data"')
    assert "default-src 'none'" in head
    assert not re.search(r"(src|href)=\"(?!#|data:,)", head)


def test_only_a_report_with_webgl_plots_may_compile_code() -> None:
    assert "'unsafe-eval'" not in report_page(full_run()).partition("<style>")[0]
    assert "'unsafe-eval'" in report_page(large_run()).partition("<style>")[0]


def test_texts_of_a_run_cannot_become_markup() -> None:
    text = report_page(replace(full_run(), name=PAYLOAD, state=PAYLOAD))
    assert "<img src=x" not in text
    assert text.count("</script>") == text.count("<script")


def test_report_carries_the_details_of_the_winner_with_its_export_command() -> None:
    text = report_page(full_run())
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    winner = str(full_run().winner["trial"])
    assert data["details"][winner]["command"] == f"netwright export runs/digits --trial {winner} --format onnx"
    assert data["details"][winner]["drawing"].startswith("<svg")


def test_numbers_are_written_beside_on_request(tmp_path: Path) -> None:
    written = write_report_numbers(full_run(), tmp_path)
    assert written[0].name == "report.json"
    rows = list(csv.DictReader((tmp_path / "trials.csv").open(encoding="utf-8")))
    assert len(rows) == 30
    assert json.loads(written[0].read_text())["panels"]["trials"][3]["accuracy"] == float(rows[3]["accuracy"])
