"""Task: what a network is for. Data, shapes, loss, score; training itself is in `training.py`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from netwright.core.errors import ConfigurationError, DataError, Mistake, NetwrightError
from netwright.core.plugins import Plugin, given, name_of
from netwright.core.records import Direction, Objective
from netwright.core.shapes import Shapes
from netwright.tasks.data import AnyArray, Arrays, FloatArray, Preprocessing, Split, TaskData
from netwright.tasks.readers import arrays
from netwright.tasks.splitting import prepared, with_all_parts
from netwright.tasks.targets import ClassNumbers, Targets

if TYPE_CHECKING:
    import torch


class Task(Plugin):
    """The base of every task. A task of your own needs one method, `load`:

        class Spirals(Task):
            '''Tell two spirals apart.'''

            turns: float = 2.0

            def load(self) -> Arrays:
                inputs, targets = ...  # images [N, C, H, W], sequences [N, T, F] or rows [N, F]; class numbers [N]
                return Arrays(train=(inputs, targets))

    Checking, splitting, preprocessing, loss and score come with the base. Use it as `my_module:Spirals`,
    or put the file into `netwright/tasks/kinds`. Fields must be plain JSON values, so that worker processes
    can make the same task from its specification.

    Hooks, all optional: `where` names the source in messages, `example_settings` writes tiny data for the
    conformance tests when the fields need a file, `augment` changes training batches, `targets` says what the
    targets are where they are no class numbers, `loss` and `score` replace what comes with them.
    """

    primary_metric: ClassVar[str] = ""
    """The score that models are judged by, where it is another than that of the targets' kind."""
    primary_direction: ClassVar[Direction] = "maximize"
    """Which way `primary_metric` is better."""

    validation_fraction: float = Field(
        default=0.15, gt=0, lt=0.5, description="share of the training samples to validate on, unless given"
    )
    test_fraction: float = Field(
        default=0.15, gt=0, lt=0.5, description="share of the samples to test on, used if the source has no test part"
    )
    split_seed: int = Field(default=0, description="fixes which samples are for validation, test and calibration")
    calibration_samples: int = Field(
        default=256, ge=1, description="training samples that quantization and profiling look at"
    )
    shift: int = Field(
        default=0, ge=0, le=32, description="while training, move inputs by up to so many pixels or time steps"
    )
    flip: bool = Field(default=False, description="while training, mirror half of the images left to right")

    def load(self) -> Arrays:
        """The raw data; the only method a task must have. Raises DataError when it cannot be read."""
        raise NotImplementedError(f"{type(self).__name__} must define load(self) -> Arrays")

    def targets(self) -> Targets:
        """What the targets are; class numbers unless a task says otherwise."""
        return ClassNumbers()

    def primary(self) -> Objective:
        """The score that models are judged by, and the direction that is better."""
        if self.primary_metric:
            return Objective(metric=self.primary_metric, direction=self.primary_direction)
        return given(self, "targets", Targets).primary

    def cut(self, split: Split) -> Split:
        """A split's samples as networks see them, such as tiles of images; called after the splitting."""
        return split

    def preprocess(self, inputs: AnyArray) -> Preprocessing:
        """How inputs are made ready, found in those of the training part."""
        return Preprocessing.of(inputs)

    def reader(self) -> ModuleType:
        """The module whose `read` makes numbers of raw inputs; the bundle's loader carries it, and `data().reading`."""
        return arrays

    def prepared(self) -> str:
        """What loading does to stored inputs to make them raw arrays, told to who runs the model; empty: nothing."""
        return ""

    def where(self) -> str:
        """What messages call the source of the data, such as its path."""
        return name_of(self)

    @classmethod
    def example_settings(cls, folder: Path) -> dict[str, Any]:
        """Settings for a tiny instance, for the conformance tests; files it needs are written to `folder`."""
        del folder
        return {}

    def split_off(
        self, splits: Mapping[str, Split], *, names: tuple[str, ...] = (), groups: AnyArray | None = None
    ) -> dict[str, Split]:
        """All parts, the missing ones taken off `train`: for a task that learns from that part while it loads."""
        return with_all_parts(
            splits,
            self.targets(),
            names=names,
            fractions={"validation": self.validation_fraction, "test": self.test_fraction},
            seed=self.split_seed,
            where=self.where(),
            groups=groups,
        )

    def data(self) -> TaskData:
        """The data, checked and split; loaded once per process for equal settings. Raises DataError.

        A file that changes on disk is seen by the next process.
        """
        return _data(type(self), self.model_dump_json())

    def test_split(self) -> Split:
        """The test split; every call is counted in `test_reads`. Only a final report should need it."""
        return self.data().test.read()

    def test_reads(self) -> int:
        """How often the test split was read in this process."""
        return self.data().test.reads

    def shapes(self) -> Shapes:
        """Input shape without the batch and number of classes or shape of a result, both found in the data."""
        data = self.data()
        output = self.targets().output(data.train.targets, data.classes)
        answers, plain = data.answers, data.preprocessing == data.preprocessing.without()
        standardised = not plain or any(answers.get("mean", ())) or any(std != 1 for std in answers.get("std", ()))
        return Shapes(input=tuple(data.train.inputs.shape[1:]), output=output, standardised=standardised)

    def augments(self) -> bool:
        """Whether `augment` changes anything."""
        return self.shift > 0 or self.flip

    def augment(self, inputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """A training batch as stored, [N, *shape], randomly changed; `generator` lives on the CPU."""
        from netwright.tasks import augmentation

        if self.shift:
            inputs = augmentation.shifted(inputs, self.shift, generator)
        return augmentation.flipped(inputs, generator) if self.flip else inputs

    def augment_both(
        self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A training batch and its targets, randomly changed; targets move with the inputs that they lie on."""
        import torch

        from netwright.tasks import augmentation

        if self.targets().aligned:
            return augmentation.flipped_together(inputs, targets, generator) if self.flip else (inputs, targets)
        return given(self, "augment", torch.Tensor, inputs, generator), targets

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor, *, label_smoothing: float = 0.0) -> torch.Tensor:
        """The mean loss of outputs [N, *shape] against targets, a scalar; of classes the cross-entropy."""
        kind = self.targets()
        settings = self.data().answers if kind.needs_settings else {}
        return kind.loss(outputs, targets, settings, label_smoothing=label_smoothing)

    def soft_loss(self, outputs: torch.Tensor, teacher: torch.Tensor, *, temperature: float) -> torch.Tensor:
        """How far outputs are from a teacher's, a scalar; of classes the divergence of softened outputs."""
        return self.targets().soft_loss(outputs, teacher, temperature=temperature)

    def score(self, outputs: FloatArray, targets: AnyArray) -> dict[str, float]:
        """All scores of outputs [N, *shape], `loss` among them; of classes also the accuracy."""
        if len(outputs) != len(targets) or len(targets) == 0:
            raise DataError(f"{len(outputs)} outputs cannot be scored against {len(targets)} targets")
        kind = self.targets()
        settings = self.data().answers if kind.needs_settings else {}
        return dict(kind.answers.scores(outputs, targets, settings))

    def remarks(self) -> tuple[str, ...]:
        """What the user should know of the loaded data before a search, a line each; nothing by default."""
        return ()

    def naive(self, split: Split | None = None) -> tuple[str, dict[str, float]] | None:
        """What may be answered without a network, in words, and its scores on a split; None for nothing.

        The split is validation unless given. Whoever looks at a network's score should know it.
        """
        data = self.data()
        split = split or data.validation
        found = self.targets().naive(data.train, split, data.answers)
        return None if found is None else (found[0], self.score(found[1], split.targets))


def _loaded(task: Task) -> Arrays:
    """What `load` gives; whatever goes wrong in a task of somebody's own is told as theirs to mend."""
    try:
        found = task.load()
    except NetwrightError:
        raise
    except Exception as error:
        if type(task).__module__.startswith("netwright."):
            raise
        raise DataError(f"{name_of(task)}.load failed: {type(error).__name__}: {error}") from error
    if not isinstance(found, Arrays):
        came = type(found).__name__
        raise DataError(f"{name_of(task)}.load gave a {came}; return Arrays(train=(inputs, targets))")
    for part, pair in found.parts().items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise DataError(
                f"{name_of(task)}.load gave no pair of inputs and targets as {part}; give (inputs, targets)"
            )
    return found


@lru_cache(maxsize=4)
def _data(cls: type[Task], settings: str) -> TaskData:
    task = cls.model_validate_json(settings)
    if task.validation_fraction + task.test_fraction >= 0.9:
        raise ConfigurationError([Mistake("validation_fraction", "leaves less than a tenth to train on")])
    data = prepared(
        _loaded(task),
        where=task.where(),
        validation_fraction=task.validation_fraction,
        test_fraction=task.test_fraction,
        calibration_samples=task.calibration_samples,
        seed=task.split_seed,
        targets=given(task, "targets", Targets),
        cut=partial(given, task, "cut", Split),
        preprocess=partial(given, task, "preprocess", Preprocessing),
    )
    axes = data.train.inputs.ndim
    if task.flip and axes != 4:
        what = "sequences" if axes == 3 else "rows of values"
        raise DataError(f"{task.where()}: flip mirrors images, but the inputs are {what}; set flip to false")
    if task.shift and (axes == 2 or task.targets().aligned):
        why = "the inputs are rows of values" if axes == 2 else "the targets would stay where they are"
        raise DataError(f"{task.where()}: shift moves inputs, but {why}; set shift to 0")
    return data
