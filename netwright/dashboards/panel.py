"""The base of a panel: one view of a run, numbers first, picture second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from netwright.core.plugins import Plugin
from netwright.dashboards.labels import Column
from netwright.runs.view import RunView

Row = dict[str, Any]
Figure = dict[str, Any]


class Panel(Plugin):
    """One section of the report and of the live page.

    `rows` gives the numbers, `columns` the table that shows all of them, `figure` draws them. A panel
    without rows shows `empty`, which says why there is nothing yet and what to do.
    """

    title: ClassVar[str]
    order: ClassVar[int]
    help: ClassVar[str] = ""
    empty: ClassVar[str]
    table_open: ClassVar[bool] = False
    sort_by: ClassVar[str] = ""
    """The key by which the table is sorted at first, with a minus for the largest first; rows' order if empty."""

    def rows(self, view: RunView) -> list[Row]:
        """The numbers of this panel as plain JSON values; what is unknown is None, never NaN."""
        raise NotImplementedError

    def columns(self, rows: Sequence[Row], view: RunView) -> list[Column]:
        """The columns of the table, in order; their keys are keys of the rows."""
        raise NotImplementedError

    def figure(self, rows: Sequence[Row], view: RunView) -> Figure | None:
        """The rows as a plotly figure (data and layout as plain JSON), or None where a table says it best."""
        del rows, view
        return None

    def drawing(self, view: RunView) -> str | None:
        """An SVG text to show above the table, or None."""
        del view
        return None

    def note(self, rows: Sequence[Row], view: RunView) -> str:
        """A sentence under the title that depends on the run, or nothing."""
        del rows, view
        return ""
