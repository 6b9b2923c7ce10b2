"""Tasks whose data lie at one path: a file or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from netwright.core.errors import ConfigurationError, Mistake
from netwright.core.records import Objective
from netwright.tasks.data import AnyArray, Pair
from netwright.tasks.labels import alike
from netwright.tasks.npz_file import write_arrays
from netwright.tasks.paths import DataPath
from netwright.tasks.task import Task


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

    judged_by: Literal["accuracy", "balanced_accuracy"] | None = Field(
        default="accuracy",
        description="the score that models are judged by; balanced_accuracy is the mean over the classes of the share "
        "of each that is found",
    )

    def remarks(self) -> tuple[str, ...]:
        return (*super().remarks(), *alike(self.data().classes))


class ArraysTask(StoredTask):
    """A task that reads an .npz file of inputs and targets, maybe beside other things."""

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
