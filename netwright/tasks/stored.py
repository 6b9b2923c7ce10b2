"""Tasks whose data lie at one path: a file or a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from netwright.core.errors import ConfigurationError, DataError, Mistake
from netwright.core.records import Objective
from netwright.tasks.columns import groups_of, read_columns, rows_by_part
from netwright.tasks.data import AnyArray, Arrays, Pair
from netwright.tasks.labels import alike, numbered
from netwright.tasks.npz_file import read_arrays, write_arrays
from netwright.tasks.paths import DataPath
from netwright.tasks.readers.tables import category
from netwright.tasks.table import row_at
from netwright.tasks.tag_targets import SampleLabels, labels_of, same_in
from netwright.tasks.targets import Targets
from netwright.tasks.task import Task

WORTH_TELLING = 0.01
"""The share of samples that stand in two parts from which it is told; rows and texts repeat by their nature."""
UNEQUAL = 0.9
"""Where more samples are of one class, always answering that looks like a good model."""


class StoredTask(Task):
    """A task that reads a path; an own one gives `load`, and a better description of what lies there."""

    path: DataPath = Field(description="file or folder of the data")

    def where(self) -> str:
        return str(self.path)


class JudgedTask(Task):
    """A task that may be set to be judged by another score of its targets than their first."""

    judged_by: str | None = Field(default=None, description="the score that models are judged by")

    @model_validator(mode="after")
    def _judged(self) -> Self:
        kind = self.targets()
        known = [kind.primary.metric, *kind.others]
        if self.judged_by not in (None, *known):
            why = f"targets of this kind have no score {self.judged_by!r}; give one of {', '.join(known)}"
            raise ConfigurationError([Mistake("judged_by", why)])
        return self

    def primary(self) -> Objective:
        if self.primary_metric or self.judged_by in (None, self.targets().primary.metric):
            return super().primary()
        return Objective(metric=str(self.judged_by), direction=self.targets().others[str(self.judged_by)])


class ClassesTask(JudgedTask):
    """A task whose targets are classes, which may be of unequal size."""

    judged_by: Literal["accuracy", "balanced_accuracy", "roc_auc", "label_f1"] | None = Field(
        default=None,
        description="the score that models are judged by: accuracy by default, or balanced_accuracy, the mean over the "
        "classes of the share of each that is found; of several labels roc_auc, the mean of their areas under the ROC "
        "curve, or label_f1",
    )
    several: bool = Field(
        default=False,
        description="a sample may have several labels, or none: targets are [N, labels] of 0 and 1, and -1 where it is "
        "not known; in a table `label` names a column for each",
    )

    def targets(self) -> Targets:
        return SampleLabels() if self.several else super().targets()

    def numbered(self, found: Arrays) -> Arrays:
        """The data with class numbers for labels as people store them; several labels stay as they are."""
        return found if isinstance(self.targets(), SampleLabels) else numbered(found, where=self.where())

    def remarks(self) -> tuple[str, ...]:
        data, said = self.data(), [*super().remarks(), *alike(self.data().classes)]
        held_out = len(data.validation) + len(data.test)
        if data.train.inputs.ndim > 2 and not data.reading and data.repeated > WORTH_TELLING * held_out:
            said.append(
                f"{data.repeated} of {held_out} validation and test samples are among the training samples too: scores "
                "will be better than on new ones"
            )
        if isinstance(self.targets(), SampleLabels) and (same := same_in(data.validation, data.classes)):
            told = "labels that all validation samples have alike, which count in no roc_auc there"
            said.append(f"{told}: {', '.join(same)}")
        if self.primary().metric == "accuracy" and self.targets().one_class:
            counts = np.bincount(data.train.targets)
            if (share := counts.max() / counts.sum()) > UNEQUAL:
                said.append(
                    f"{100 * share:.0f} % of the training samples are of the class {data.classes[counts.argmax()]!r}: "
                    "accuracy says little; `judged_by: balanced_accuracy` counts all classes alike"
                )
        return tuple(said)


class LabelledTask(ClassesTask):
    """A task of classes, or of several labels, that columns of a table may name."""

    empty: ClassVar[tuple[str, ...]] = ("",)
    """What cells say in lower case where a class is missing."""

    label: str | tuple[str, ...] = Field(
        default="label",
        description="name of the table's column of classes; or a list of columns of labels, each 0 or 1, or empty "
        "where it is not known",
    )

    def wanted(self) -> tuple[str, ...]:
        """The names of the table's columns of classes or labels."""
        return self.label if isinstance(self.label, tuple) else (self.label,) if self.label else ()

    def targets(self) -> Targets:
        many = self.several or isinstance(self.label, tuple)
        return SampleLabels(labels=self.wanted()) if many else super().targets()

    def made(self, columns: Mapping[str, AnyArray]) -> AnyArray:
        """Labels [rows, labels] of the cells of their columns, or the cells of the column of classes as they are."""
        if isinstance(self.targets(), SampleLabels):
            if not self.wanted():
                raise DataError(f"{self.where()}: name the columns of labels by `label`, as in `label: [wet, cold]`")
            return labels_of(columns, path=Path(self.where()))
        ((name, cells),) = columns.items()
        empty = np.flatnonzero(np.isin(np.char.lower(np.char.strip(cells)), self.empty))
        if len(empty):
            at = row_at(Path(self.where()), empty[0])
            more = f", as in {len(empty) - 1} more of {len(cells)} rows" if len(empty) > 1 else ""
            word = str(cells[empty[0]])
            came = f"has {word!r}, which counts as empty" if word else "is empty"
            raise DataError(
                f"{at}: the column {name!r} {came}{more}; give every row a class"
                f"{' with another name' if word else ''}, or remove it"
            )
        return np.array([category(cell) for cell in cells.tolist()])


class TableRows(Task):
    """A task whose table may have a column for the part that a row is of, and one for what it belongs to."""

    split: str = Field(default="", description="name of a column that says train, validation or test, if there is one")
    group: str = Field(
        default="",
        description="name of a column that says which rows belong together, such as those of one patient: parts that "
        "are split off have whole groups",
    )


class LabelledRows(TableRows, LabelledTask, StoredTask):
    """The same where a column names each sample too, such as a text or a file."""

    def check_no_columns(self) -> None:
        """Raise DataError when columns are named, though the data lies in no table."""
        if self.split or self.group or isinstance(self.label, tuple):
            raise DataError(f"{self.path}: columns are named for a table, which this is not; leave them out")

    def rows(self, setting: str) -> Arrays:
        """The parts of a table: the cells of the column that a setting names, and what those of `label` become."""
        if not self.wanted():
            raise DataError(f"{self.path}: no column of classes is named; name one by `label`")
        labels = {f"label.{place}" if place else "label": name for place, name in enumerate(self.wanted())}
        others = {name: str(getattr(self, name)) for name in (setting, "split", "group")}
        found = read_columns(self.path, others | labels)
        targets = self.made({name: found[place] for place, name in labels.items()})
        rows = rows_by_part(found.get("split"), rows=len(targets), path=self.path)
        parts = {part: (found[setting][chosen], targets[chosen]) for part, chosen in rows.items()}
        groups = groups_of(found["group"], rows, name=self.group, path=self.path) if self.group else None
        return Arrays.of(parts, groups=groups)


class ArraysTask(StoredTask):
    """A task that reads an .npz file of inputs and targets, maybe beside other things."""

    def sequences(self) -> Arrays:
        """The file's arrays with inputs [N, time, features], which may be stored as [N, time]; raises DataError."""
        if not self.path.exists():
            raise DataError(f"{self.path} does not exist; give the path of an .npz file")
        return read_arrays(self.path).with_inputs(self._with_features)

    def _with_features(self, inputs: AnyArray) -> AnyArray:
        if inputs.ndim not in (2, 3):
            raise DataError(
                f"{self.path}: inputs of shape {inputs.shape} are not sequences; give [N, time] or [N, time, features]"
            )
        return inputs[:, :, None] if inputs.ndim == 2 else inputs

    @classmethod
    def from_arrays(
        cls,
        inputs: AnyArray,
        targets: AnyArray,
        *,
        folder: Path,
        test: Pair | None = None,
        classes: Sequence[str] = (),
        **settings: Any,
    ) -> Self:
        """A task on arrays in memory, written to an .npz file in `folder` so that workers can read them.

        `classes` names the classes, where there are any; `settings` are the task's fields.

        >>> task = ImageClassification.from_arrays(x, y, folder=Path("data"))  # doctest: +SKIP
        """
        path = write_arrays(inputs, targets, folder=folder, test=test, classes=classes)
        return cls.parse({"path": path, **settings})
