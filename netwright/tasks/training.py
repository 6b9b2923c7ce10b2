"""Training: `fit` trains a model on a task, the same way every time for the same seed.

On one machine with one number of threads, equal arguments give bit-equal weights, also when the training
was cut short and went on from its checkpoint. The number of threads is the caller's: torch.set_num_threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from netwright.core.clock import Clock, SystemClock
from netwright.core.errors import ConfigurationError, DataError, Mistake, NetwrightError, ShapeError
from netwright.core.files import canonical_json, content_hash
from netwright.core.identity import default_values, identity_of
from netwright.core.plugins import given, name_of
from netwright.core.seeds import derive_seed
from netwright.tasks.checkpoint import TrainingState, digest_of, load_state, put_into, save_state
from netwright.tasks.memory_layout import fastest_layout, laid_out
from netwright.tasks.normalise import Normalise
from netwright.tasks.optimizer import optimizer_of, restore_optimizer
from netwright.tasks.prediction import evaluate, evaluate_split, evaluating, on_device, predict
from netwright.tasks.settings import BALANCED_NEEDS, Distillation, Training, learning_rate_factor
from netwright.tasks.splitting import stratified_order
from netwright.tasks.task import Task
from netwright.tasks.training_hook import TrainingHook

__all__ = [
    "Distillation",
    "EpochRow",
    "FitResult",
    "NotFiniteError",
    "Training",
    "evaluate",
    "evaluate_split",
    "fit",
    "predict",
]

EpochRow = dict[str, float]
"""epoch (from 1), train_loss, validation_<score> for each of the task's scores, seconds of this epoch."""

OnEpoch = Callable[[EpochRow], bool]
SYSTEM_CLOCK = SystemClock()
STEPS_BETWEEN_CHECKS = 32


class NotFiniteError(NetwrightError):
    """The loss became nan or infinite; what was trained is worthless."""


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a training did: one row per epoch (earlier ones of a resumed training too), whether it was
    stopped before its last epoch, and the seconds of all epochs together.
    """

    rows: list[EpochRow]
    stopped: bool
    seconds: float


def go_on(row: EpochRow) -> bool:
    """Always train on."""
    del row
    return True


def fit(
    model: nn.Module,
    task: Task,
    *,
    training: Training,
    seed: int,
    on_epoch: OnEpoch = go_on,
    teacher: nn.Module | None = None,
    distillation: Distillation | None = None,
    hooks: Sequence[TrainingHook] = (),
    auxiliary: nn.Module | None = None,
    checkpoint: Path | None = None,
    device: str = "cpu",
    clock: Clock = SYSTEM_CLOCK,
) -> FitResult:
    """Train a model in place; nothing else in netwright changes a model it is given.

    After each epoch the state is saved to `checkpoint`, then `on_epoch` gets the epoch's row and ends the
    training by returning False. When the file is already there, the training goes on from it, or returns
    at once when it was complete. With a `teacher`, its outputs are learned too; `hooks` take part in every step.
    Where `training.auxiliary` is above 0, `auxiliary` is trained: a network of the model's layers that gives a tuple,
    the model's outputs and those of its auxiliary heads (`SearchSpace.with_auxiliary`).
    The model ends on the device and in the mode it came with, and the global random generators are left as they were.

    Raises NotFiniteError, ShapeError when the outputs do not fit the task, SpaceError when there is nothing
    to train, CheckpointError, DataError, and ConfigurationError.
    """
    distillation = _distillation(model, teacher, distillation)
    whole = _whole(model, auxiliary, training)
    with on_device(whole, device) as place, evaluating(model), evaluating(whole), _own_random_numbers(place, seed):
        trainer = _Trainer(model, task, whole=whole, training=training, seed=seed, place=place, hooks=hooks)
        if teacher is not None and distillation is not None:
            trainer.learn_from(teacher, distillation)
        with fastest_layout(whole, trainer.example()) as trainer.layout:
            trainer.start_hooks()
            if checkpoint is not None:
                trainer.resume(checkpoint)
            stopped = _epochs(trainer, on_epoch=on_epoch, checkpoint=checkpoint, clock=clock)
            trainer.put()
    return FitResult(trainer.rows, stopped, math.fsum(row["seconds"] for row in trainer.rows))


def _epochs(trainer: _Trainer, *, on_epoch: OnEpoch, checkpoint: Path | None, clock: Clock) -> bool:
    """Train the epochs that are left; whether the listener stopped it."""
    last = trainer.training.epochs
    while (done := len(trainer.rows)) < last:
        started = clock.monotonic()
        row = trainer.epoch(done + 1)
        row["seconds"] = clock.monotonic() - started
        trainer.rows.append(row)
        state = trainer.generators()
        if checkpoint is not None:
            save_state(checkpoint, trainer.state())
        if not on_epoch(dict(row)) and done + 1 < last:
            return True
        # The listener may draw random numbers; the next epoch must not depend on that.
        trainer.set_generators(state)
    return False


def _distillation(
    model: nn.Module, teacher: nn.Module | None, distillation: Distillation | None
) -> Distillation | None:
    if teacher is None and distillation is not None:
        raise ConfigurationError([Mistake("distillation", "needs a teacher; give one or leave it out")])
    if teacher is not None and teacher is model:
        raise ConfigurationError([Mistake("teacher", "is the model itself; give a copy made before training")])
    return (distillation or Distillation()) if teacher is not None else None


def _whole(model: nn.Module, auxiliary: nn.Module | None, training: Training) -> nn.Module:
    """What is trained: the model, with its auxiliary heads where they count."""
    if not training.auxiliary:
        return model
    if auxiliary is None:
        raise ConfigurationError([Mistake("training.auxiliary", "the network brings no auxiliary head; leave it out")])
    return auxiliary


@contextmanager
def _own_random_numbers(place: torch.device, seed: int) -> Iterator[None]:
    """The global generators, which dropout draws from, seeded for a while and then as before."""
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(derive_seed("model", seed))
        yield


class _Trainer:
    """The moving parts of one training: model, optimizer, generators, rows so far."""

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        *,
        whole: nn.Module,
        training: Training,
        seed: int,
        place: torch.device,
        hooks: Sequence[TrainingHook] = (),
    ) -> None:
        data = task.data()
        self.hooks = tuple(hooks)
        self.model, self.whole, self.task, self.training, self.place = model, whole, task, training, place
        self.rows: list[EpochRow] = []
        self.validation = data.validation
        self.preprocessing = data.preprocessing
        self.results = task.shapes().output_shape
        # The first of a seeded order: every model sees the same part, and a smaller part is inside a larger.
        groups = task.targets().strata(data.train.targets)
        order = stratified_order(groups, seed=derive_seed("samples", task.split_seed))
        self.train = data.train if training.samples is None else data.train.take(order[: training.samples])
        self.inputs = torch.tensor(self.train.inputs, device=place)
        self.targets = torch.tensor(self.train.targets, device=place)
        self.order = torch.Generator().manual_seed(derive_seed("order", seed))
        self.optimizer = optimizer_of(whole, training)
        self.normalise = Normalise(data.preprocessing, self.inputs)
        self.layout = torch.contiguous_format
        self.teacher: nn.Module | None = None
        self.distillation = Distillation()
        self.teacher_outputs: torch.Tensor | None = None
        self.identity = self._identity(seed, data.fingerprint)

    def example(self) -> torch.Tensor:
        """Two inputs as the model gets them."""
        return self.normalise(self.inputs[:2])

    def learn_from(self, teacher: nn.Module, distillation: Distillation) -> None:
        """Distil a teacher; without augmentation its outputs are computed only once."""
        self.teacher, self.distillation = teacher, distillation
        self.identity |= {"teacher": digest_of(teacher.state_dict())}
        self.identity |= {"distillation": distillation.model_dump_json()}
        if not self.task.augments():
            outputs = predict(teacher, self.train.inputs, device=str(self.place), preprocessing=self.preprocessing)
            self.teacher_outputs = torch.tensor(outputs, device=self.place)

    def start_hooks(self) -> None:
        """Tell the hooks of the model as it came."""
        once = len(self._cut(torch.arange(len(self.targets))))
        steps = once * self.training.times(once)
        for hook in self.hooks:
            hook.start(self.model, epochs=self.training.epochs, steps=steps)
        if own := [parameter for hook in self.hooks for parameter in hook.parameters()]:
            self.optimizer.add_param_group({"params": own, "weight_decay": 0.0})

    def put(self) -> None:
        """Let the model compute with what the hooks make of its values."""
        for hook in self.hooks:
            hook.put()

    def take_back(self) -> None:
        """Give the model the values that are trained."""
        for hook in reversed(self.hooks):
            hook.take_back()

    def epoch(self, number: int) -> EpochRow:
        """All training samples, small sets several times, and one look at the validation split."""
        self.whole.train()
        batches = self._batches()
        total, seen = torch.zeros((), dtype=torch.float64, device=self.place), 0
        for place, index in enumerate(batches):
            step = (number - 1) * len(batches) + place
            self._set_learning_rate(step, steps=self.training.epochs * len(batches))
            total += self._step(index).double() * len(index)
            seen += len(index)
            if place % STEPS_BETWEEN_CHECKS == STEPS_BETWEEN_CHECKS - 1 or place == len(batches) - 1:
                self._check_finite(float(total), "training", number)
        row: EpochRow = {"epoch": number, "train_loss": float(total) / seen}
        for hook in self.hooks:
            hook.epoch_done(number)
        self.put()
        scores = evaluate_split(self.model, self.task, self.validation, device=str(self.place))
        self.take_back()
        row |= {f"validation_{name}": value for name, value in scores.items()}
        self._check_finite(math.fsum(scores.values()), "validation", number)
        return row

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint if there is one."""
        if not path.exists():
            return
        defaults = _facts(Training()) | _facts_of_task(self.task, defaults=True)
        state = load_state(path, identity=self.identity, defaults=defaults)
        self.identity = dict(state.identity)
        put_into(self.whole, state.model)
        restore_optimizer(self.optimizer, state.optimizer)
        for number, hook in enumerate(self.hooks):
            own = {k.removeprefix(f"{number}."): t for k, t in state.hooks.items() if k.startswith(f"{number}.")}
            hook.restore({name: tensor.to(self.place) for name, tensor in own.items()})
        self.set_generators(state.generators)
        self.rows = [dict(row) for row in state.rows]

    def state(self) -> TrainingState:
        """All that `resume` needs."""
        return TrainingState(
            identity=self.identity,
            model=self.whole.state_dict(),
            optimizer=self.optimizer.state_dict()["state"],
            generators=self.generators(),
            hooks={f"{n}.{name}": t for n, hook in enumerate(self.hooks) for name, t in hook.tensors().items()},
            rows=self.rows,
        )

    def generators(self) -> dict[str, torch.Tensor]:
        """The states of all generators that training draws from."""
        states = {"order": self.order.get_state(), "cpu": torch.get_rng_state()}
        return states | ({"cuda": torch.cuda.get_rng_state(self.place)} if self.place.type == "cuda" else {})

    def set_generators(self, states: dict[str, torch.Tensor]) -> None:
        self.order.set_state(states["order"])
        torch.set_rng_state(states["cpu"])
        if self.place.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"], self.place)

    def _batches(self) -> list[torch.Tensor]:
        first = self._once()
        return [*first, *(batch for _ in range(1, self.training.times(len(first))) for batch in self._once())]

    def _once(self) -> list[torch.Tensor]:
        order = torch.randperm(len(self.targets), generator=self.order)
        if self.training.balanced:
            order = torch.multinomial(self._shares(), len(self.targets), replacement=True, generator=self.order)
        return self._cut(order.to(self.place))

    def _shares(self) -> torch.Tensor:
        """The weight of each sample in the draw, with which all classes weigh the same."""
        if not self.task.targets().one_class:
            raise ConfigurationError([Mistake("training.balanced", BALANCED_NEEDS)])
        _, of, counts = torch.unique(self.targets.cpu(), return_inverse=True, return_counts=True)
        return torch.reciprocal(counts[of].double())

    def _cut(self, order: torch.Tensor) -> list[torch.Tensor]:
        batches = list(torch.split(order, self.training.batch_of(len(order))))
        # Batch normalisation cannot train on a single sample.
        return batches[:-1] if len(batches) > 1 and len(batches[-1]) == 1 else batches

    def _step(self, index: torch.Tensor) -> torch.Tensor:
        inputs, targets = self.inputs[index], self.targets[index]
        if self.task.augments():
            inputs, targets = self.task.augment_both(inputs, targets, self.order)
        ready = laid_out(self.normalise(inputs), self.layout)
        self.optimizer.zero_grad(set_to_none=True)
        self.put()
        outputs, *sides = [self.model(ready)] if self.whole is self.model else self.whole(ready)
        self._check_shape(outputs, len(index))
        loss = self._loss(outputs, targets)
        if self.teacher is not None:
            taught = self._teacher_outputs(self.teacher, ready, index)
            soft = self.task.soft_loss(outputs, taught, temperature=self.distillation.temperature)
            loss = self.distillation.weight * soft + (1 - self.distillation.weight) * loss
        for side in sides:
            loss = loss + self.training.auxiliary * self._loss(side, targets)
        for hook in self.hooks:
            term = hook.penalty(ready)
            loss = loss if term is None else loss + term
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves this one without types
        self.take_back()
        for hook in self.hooks:
            hook.gradients()
        if self.training.gradient_clip is not None:
            trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
            nn.utils.clip_grad_norm_(trained, self.training.gradient_clip)
        self.optimizer.step()
        for hook in self.hooks:
            hook.stepped()
        return loss.detach()

    def _loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        smoothing = self.training.label_smoothing
        found = given(self.task, "loss", torch.Tensor, outputs, targets, label_smoothing=smoothing)
        if found.numel() != 1 or (outputs.requires_grad and not found.requires_grad):
            came = f"a tensor of shape {tuple(found.shape)}" if found.numel() != 1 else "a tensor without gradients"
            raise DataError(f"{name_of(self.task)}.loss gives {came}, expected the mean loss with its gradients")
        return found

    def _teacher_outputs(self, teacher: nn.Module, ready: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        if self.teacher_outputs is not None:
            return self.teacher_outputs[index]
        with on_device(teacher, str(self.place)), evaluating(teacher), torch.no_grad():
            outputs: torch.Tensor = teacher(ready)
        return outputs

    def _set_learning_rate(self, step: int, *, steps: int) -> None:
        factor = learning_rate_factor(self.training.schedule, step=step, steps=steps)
        for group in self.optimizer.param_groups:
            group["lr"] = self.training.learning_rate * factor

    def _check_shape(self, outputs: object, samples: int) -> None:
        shape = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        if shape != (samples, *self.results):
            one_row = len(self.results) == 1
            wanted = f"one row of {self.results[0]} values" if one_row else f"a result of shape {self.results}"
            what = f"{wanted} per sample is expected: correct its last layer"
            raise ShapeError(f"the model gives {shape} for {samples} samples; {what}")

    def _check_finite(self, value: float, what: str, epoch: int) -> None:
        if not math.isfinite(value):
            raise NotFiniteError(
                f"the {what} loss became {value} in epoch {epoch}; lower the learning rate "
                f"(now {self.training.learning_rate}) or set gradient_clip"
            )

    def _identity(self, seed: int, fingerprint: str) -> dict[str, str]:
        facts = _facts(self.training)
        if self.hooks:
            facts["hooks"] = content_hash([hook.identity() for hook in self.hooks])
        weights = self.whole.state_dict()
        shapes = {name: [str(t.dtype), *t.shape] for name, t in weights.items()}
        return facts | {
            "seed": str(seed),
            **_facts_of_task(self.task),
            "data": fingerprint,
            "model": content_hash(shapes),
            "start": digest_of(weights),
            "device": self.place.type,
        }


def _facts_of_task(task: Task, *, defaults: bool = False) -> dict[str, str]:
    """A task's settings by name, or their defaults, which an identity has that is older than the setting.

    Where the data lies does not matter, its fingerprint does: a moved run can go on.
    """
    values = default_values(type(task)) if defaults else {name: getattr(task, name) for name in type(task).model_fields}
    told = {f"task.{name}": canonical_json(identity_of(v)) for name, v in values.items() if not isinstance(v, Path)}
    return told if defaults else {**told, "task.kind": name_of(task)}


def _facts(training: Training) -> dict[str, str]:
    return {f"training.{name}": str(value) for name, value in training.model_dump().items()}
