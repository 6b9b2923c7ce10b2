"""The task of classifying the rows of a table of one's own, or rows of numbers from an .npz file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Arrays, Pair, Split
from netwright.tasks.labels import numbered
from netwright.tasks.readers.tables import MISSING
from netwright.tasks.stored import ClassesTask
from netwright.tasks.table_task import TableTask


class TableClassification(ClassesTask, TableTask):
    """Classify the rows of a .csv, .tsv or .parquet table, or rows of numbers from an .npz file.

    A table has a first row of names; every column but the label is an input. A column of texts becomes an input for
    each of its values; an empty cell of a column of numbers is filled with the mean of the training rows. The .npz
    file holds `x_train` and `y_train` (and `x_test` and `y_test`), or `inputs` and `targets`; inputs are [N, values].
    """

    label: str = Field(default="", description="name of the table's column of classes; default: the last column")

    @classmethod
    def example_settings(cls, folder: Path) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        lines = ["id,age,colour,length,kind"]
        for place, age in enumerate(rng.normal(40, 9, 80)):
            colour = "red" if age + rng.normal(0, 4) > 40 else "blue"
            length = "" if place % 9 == 0 else f"{rng.normal(1 + place % 2, 0.3):.2f}"
            lines.append(f"{place},{age:.1f},{colour},{length},{'odd' if place % 2 else 'even'}")
        path = folder / "rows.csv"
        path.write_text("\n".join(lines), encoding="utf-8")
        return {"path": str(path), "ignore": ["id"]}

    def wanted(self) -> tuple[str, ...]:
        return (self.label,) if self.label else ()

    def parted(
        self, given: Mapping[str, Split], groups: AnyArray | None
    ) -> tuple[Mapping[str, Split], tuple[str, ...]]:
        pairs: dict[str, Pair] = {part: (one.inputs, one.targets) for part, one in given.items()}
        texts = Arrays(train=pairs["train"], validation=pairs.get("validation"), test=pairs.get("test"))
        made = numbered(texts, where=self.where())
        found = {part: Split(*pair) for part, pair in made.parts().items()}
        classes = self.targets().names(found, made.classes, self.where())
        return self.split_off(found, names=classes, groups=groups), classes

    def arranged(self, found: Arrays) -> Arrays:
        return numbered(found, where=self.where())

    def made(self, columns: Mapping[str, AnyArray]) -> AnyArray:
        ((name, cells),) = columns.items()
        many = len(np.unique(cells))
        if many > 20 and many > len(cells) / 4:
            raise DataError(
                f"{self.path}: the column {name!r} has {many} different values in {len(cells)} rows, which are hardly "
                "classes; name the column of classes by `label`, or take the task regression"
            )
        empty = np.flatnonzero([cell.lower() in MISSING for cell in cells.tolist()])
        if len(empty):
            more = f", as in {len(empty) - 1} more of {len(cells)} rows" if len(empty) > 1 else ""
            word = str(cells[empty[0]])
            came = f"has {word!r}, which counts as empty" if word else "is empty"
            raise DataError(
                f"{self.path}, row {empty[0] + 2}: the column {name!r} {came}{more}; give every row a class"
                f"{' with another name' if word else ''}, or remove it"
            )
        return cells
