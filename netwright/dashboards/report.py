"""The static report: one file that shows a whole run anywhere, without a server and without a network."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from netwright.core.files import write_atomic
from netwright.dashboards.page import static_page
from netwright.dashboards.payload import embedded_decisions, embedded_details, page_data, report_data, title
from netwright.runs.view import RunView

__all__ = ["report_data", "report_page", "write_report", "write_report_numbers"]


def report_page(view: RunView) -> str:
    """The text of the report."""
    own = {"details": embedded_details(view), "decisions": embedded_decisions(view)}
    data: dict[str, Any] = {**page_data(view), **own}
    return static_page(data, name=title(view))


def write_report(view: RunView, path: Path) -> Path:
    """Write the report of a run as one HTML file, whole or not at all; returns its path."""
    write_atomic(path, report_page(view))
    return path


def write_report_numbers(view: RunView, folder: Path) -> list[Path]:
    """Write the numbers of the report: `report.json`, and one CSV file per panel that has any."""
    data = report_data(view)
    written = [folder / "report.json"]
    write_atomic(written[0], json.dumps(data, indent=1, allow_nan=False))
    for name, rows in data["panels"].items():
        if not rows:
            continue
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        written.append(folder / f"{name}.csv")
        write_atomic(written[-1], text.getvalue())
    return written
