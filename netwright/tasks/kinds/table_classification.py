"""The task of classifying the rows of a table of one's own, or rows of numbers from an .npz file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Arrays, Pair, Split
from netwright.tasks.readers.tables import MISSING
from netwright.tasks.stored import LabelledTask
from netwright.tasks.table_task import TableTask


class TableClassification(LabelledTask, TableTask):
    """Classify the rows of a .csv, .tsv or .parquet table, or rows of numbers from an .npz file.

    A table has a first row of names; every column but the label is an input. A column of texts becomes an input for
    each of its values; an empty cell of a column of numbers is filled with the mean of the training rows. The .npz
    file holds `x_train` and `y_train` (and `x_test` and `y_test`), or `inputs` and `targets`; inputs are [N, values].
    """

    empty: ClassVar[tuple[str, ...]] = MISSING

    label: str | tuple[str, ...] = Field(
        default="",
        description="name of the table's column of classes, by default the last one; or a list of columns of labels, "
        "each 0 or 1, or empty where it is not known",
    )

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

    def parted(
        self, given: Mapping[str, Split], groups: AnyArray | None
    ) -> tuple[Mapping[str, Split], tuple[str, ...]]:
        pairs: dict[str, Pair] = {part: (one.inputs, one.targets) for part, one in given.items()}
        made = self.numbered(Arrays.of(pairs))
        found = {part: Split(*pair) for part, pair in made.parts().items()}
        classes = self.targets().names(found, made.classes, self.where())
        return self.split_off(found, names=classes, groups=groups), classes

    def arranged(self, found: Arrays) -> Arrays:
        return self.numbered(found)

    def made(self, columns: Mapping[str, AnyArray]) -> AnyArray:
        for name, cells in columns.items():
            many = len(np.unique(cells))
            if many > 20 and many > len(cells) / 4:
                raise DataError(
                    f"{self.path}: the column {name!r} has {many} different values in {len(cells)} rows, which are "
                    "hardly classes; name the column of classes by `label`, or take the task regression"
                )
        return super().made(columns)
