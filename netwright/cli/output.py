"""How results are printed: one JSON document, or a table for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from netwright.core.files import canonical_json
from netwright.core.text import rounded

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")


def print_json(document: object) -> None:
    """Print a value as one JSON document on standard output."""
    print(json.dumps(json.loads(canonical_json(document)), indent=1))


def print_table(rows: Sequence[Mapping[str, Any]], *, title: str = "", columns: Sequence[str] = ()) -> None:
    """Print rows as a table; numbers are right-aligned and rounded to four significant figures."""
    from rich.console import Console
    from rich.table import Table

    names = list(columns) or list(dict.fromkeys(name for row in rows for name in row))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in names:
        numeric = any(isinstance(row.get(name), (int, float)) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(row.get(name)) for name in names))
    if title:
        print(title)
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160).print(table)


def cell(value: object) -> str:
    """A value as a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return rounded(value)
    return str(value)
