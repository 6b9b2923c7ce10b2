"""Weight sharing: a supernet trained once, whose paths then stand for trained networks when they are ranked."""

from __future__ import annotations

import logging
import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import nn

from netwright.core.errors import ShapeError
from netwright.core.files import content_hash
from netwright.core.identity import identity_of
from netwright.core.records import Decisions
from netwright.core.seeds import derive_seed, generator
from netwright.core.shapes import Shapes
from netwright.nas.shrinking import Shrinking
from netwright.nas.supernet_training import SupernetTraining
from netwright.search_spaces.encoding import neighbours
from netwright.search_spaces.space import SearchSpace
from netwright.search_spaces.supernet import Supernet
from netwright.tasks.batches import Batches
from netwright.tasks.checkpoint import TrainingState, load_state, save_state
from netwright.tasks.prediction import evaluate_split
from netwright.tasks.settings import learning_rate_factor
from netwright.tasks.task import Task
from netwright.tasks.training import NotFiniteError

LOGGER = logging.getLogger(__name__)
CALIBRATED_AT_ONCE = 64
"""Batch statistics are those of so many samples, where no batch size is given."""
DRAWS = 200
"""So many architectures in a row that make no network end a training."""
SWEEPS = 4
"""The largest and the smallest architecture are looked for in so many sweeps over all decisions."""


def train_supernet(
    space: SearchSpace,
    task: Task,
    *,
    training: SupernetTraining,
    seed: int,
    checkpoint: Path | None = None,
    device: str = "cpu",
    on_epoch: Callable[[int, float], None] = lambda epoch, loss: None,
) -> Supernet:
    """A supernet of the space, trained on the task's training split; equal arguments give equal weights.

    Every step trains one architecture, drawn evenly (single-path one-shot: Guo et al., 2020). With `sandwich` it
    trains the largest, the smallest and a few drawn ones; the largest learns from the targets, the others from
    its outputs (Yu & Huang, 2019; BigNAS: Yu et al., 2020). With `shrinking` the largest is trained alone first, then
    with drawn ones in which ever more decisions are open, phase by phase (Once-for-all: Cai et al., 2020); it goes on
    learning and teaches them, where the paper has a frozen copy teach. After each epoch the state goes to
    `checkpoint`, and a training that finds one goes on from it.

    Raises NotFiniteError when the loss does not stay finite, CheckpointError for a file of another training,
    SpaceError when `shrinking` names what the space does not decide on.
    """
    with torch.random.fork_rng(devices=[torch.device(device)] if device.startswith("cuda") else []):
        torch.manual_seed(derive_seed("supernet", seed))
        trainer = _Trainer(space, task, training=training, seed=seed, device=device)
        first = trainer.resume(checkpoint) if checkpoint is not None else 1
        for epoch in range(first, training.epochs + 1):
            loss = trainer.epoch(epoch)
            if checkpoint is not None:
                trainer.save(checkpoint)
            on_epoch(epoch, loss)
    return trainer.supernet


def score_path(
    supernet: Supernet,
    decisions: Decisions,
    task: Task,
    *,
    training: SupernetTraining,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, float]:
    """The task's validation scores of one architecture with the supernet's weights.

    Its batch statistics are found anew from some training batches: those of the supernet are a mix of all
    architectures. The supernet stays as it is.
    """
    model = calibrated(
        supernet.cut(decisions), task, samples=training.calibration_samples, batch_size=training.batch_size,
        seed=seed, device=device,
    )  # fmt: skip
    split = task.data().validation
    if training.validation_samples is not None and training.validation_samples < len(split):
        order = random.Random(derive_seed("validation", seed)).sample(range(len(split)), training.validation_samples)
        split = split.take(torch.tensor(sorted(order)).numpy())
    return evaluate_split(model, task, split, device=device)


def calibrated(
    model: nn.Module, task: Task, *, samples: int, batch_size: int | None, seed: int = 0, device: str = "cpu"
) -> nn.Module:
    """The model with its batch normalisation's mean and variance found from training samples, changed in place."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    if not norms:
        return model
    batches = Batches(task, batch_size=batch_size or CALIBRATED_AT_ONCE, samples=samples, seed=seed, device=device)
    model.to(device)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch then takes the plain mean over all batches
    # only normalisation runs as in training, so that dropout does not blur what it sees
    model.eval()
    for norm in norms:
        norm.train()
    with torch.no_grad():
        for inputs, _ in batches.epoch(1, augment=False):
            model(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()


def extremes(space: SearchSpace, shapes: Shapes, *, seed: int = 0) -> tuple[Decisions, Decisions]:
    """The architectures with the fewest and the most multiply-accumulates, as far as changing one decision at a
    time finds them.
    """
    start = space.sample(generator(seed, "extremes"))
    return _climb(space, shapes, start, sign=-1), _climb(space, shapes, start, sign=1)


def _climb(space: SearchSpace, shapes: Shapes, start: Decisions, *, sign: int) -> Decisions:
    def size(decisions: Decisions) -> float:
        try:
            cost = space.cost(decisions, shapes)
        except ShapeError:
            return -math.inf
        return sign * (cost.macs + 1e-9 * cost.params)

    best: Decisions = dict(start)
    reached = size(best)
    for _ in range(SWEEPS):
        before = reached
        for name in list(space.trace(best).domains):
            if name not in space.trace(best).domains:
                continue
            for other in list(neighbours(space, best, of=name)):
                found = size(other)
                if found > reached:
                    best, reached = dict(other), found
        if reached == before:
            break
    return best


class _Trainer:
    """The moving parts of one supernet's training."""

    def __init__(self, space: SearchSpace, task: Task, *, training: SupernetTraining, seed: int, device: str) -> None:
        self.space, self.task, self.training, self.seed, self.device = space, task, training, seed, device
        shapes = task.shapes()
        self.supernet = space.supernet(shapes, seed=derive_seed("weights", seed)).to(device)
        self.batches = Batches(
            task,
            batch_size=training.batch_size,
            samples=training.samples,
            seed=derive_seed("order", seed),
            device=device,
        )
        self.taught = training.sandwich or bool(training.shrinking)
        self.smallest, self.largest = extremes(space, shapes, seed=seed) if self.taught else ({}, {})
        self.shrinking = Shrinking(space, self.largest, training.shrinking) if training.shrinking else None
        self.rows: list[dict[str, float]] = []
        self.optimizer = self._new_optimizer()
        self.identity = {
            "space": content_hash(identity_of(space)),
            "data": task.data().fingerprint,
            "supernet": content_hash(identity_of(training)),
            "seed": str(seed),
            "device": device,
        }

    def epoch(self, number: int) -> float:
        """One pass over the training samples; the mean loss."""
        self.supernet.train()
        steps = len(self.batches)
        total = 0.0
        for step, (inputs, targets) in enumerate(self.batches.epoch(number)):
            position = (number - 1) * steps + step
            factor = learning_rate_factor("cosine", step=position, steps=self.training.epochs * steps)
            for group in self.optimizer.param_groups:
                group["lr"] = self.training.learning_rate * factor
            total += self._step(inputs, targets, list(self._paths(number, step)))
        mean = total / steps
        if not math.isfinite(mean):
            raise NotFiniteError(
                f"the supernet's loss became {mean} in epoch {number}; lower its learning rate "
                f"(now {self.training.learning_rate})"
            )
        self.rows.append({"epoch": number, "train_loss": mean})
        return mean

    def save(self, path: Path) -> None:
        """Keep all that `resume` needs."""
        state = TrainingState(
            identity=self.identity,
            model=self.supernet.state_dict(),
            optimizer=self.optimizer.state_dict()["state"],
            generators={"cpu": torch.get_rng_state()},
            rows=self.rows,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        save_state(path, state)

    def resume(self, path: Path) -> int:
        """Go on from a checkpoint if there is one; the number of the epoch to train next."""
        if not path.exists():
            return 1
        state = load_state(path, identity=self.identity)
        if {k: v.shape for k, v in state.model.items()} != {k: v.shape for k, v in self.supernet.state_dict().items()}:
            self._grow_again(len(state.rows))
        self.supernet.load_state_dict(state.model)
        self.optimizer = self._new_optimizer()
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state.optimizer, "param_groups": groups})
        torch.set_rng_state(state.generators["cpu"])
        self.rows = [dict(row) for row in state.rows]
        return len(self.rows) + 1

    def _grow_again(self, epochs: int) -> None:
        """Meet the rare layers again that were not there at the start, in the same order."""
        for number in range(1, epochs + 1):
            for step in range(len(self.batches)):
                deque(self._paths(number, step), maxlen=0)

    def _paths(self, epoch: int, step: int) -> Iterator[Decisions]:
        """The architectures of one step, each with its place in the supernet; the teacher first where there is one."""
        yield from map(self._placed, self._draws(epoch, step))

    def _draws(self, epoch: int, step: int) -> Iterator[Callable[[], Decisions]]:
        rng = generator(self.seed, "paths", epoch, step)
        if self.shrinking is not None:
            phase = self.shrinking.phase(epoch, epochs=self.training.epochs)
            yield lambda: self.largest
            yield from [partial(self.shrinking.sample, rng, phase=phase)] * (self.training.paths if phase else 0)
            return
        if self.training.sandwich:
            yield from (lambda: self.largest, lambda: self.smallest)
        yield from [partial(self.space.sample, rng)] * self.training.paths

    def _placed(self, draw: Callable[[], Decisions]) -> Decisions:
        """The first of what is drawn that makes a network for the task; the supernet has all its layers then."""
        for left in reversed(range(DRAWS)):
            decisions = draw()
            try:
                self.supernet.choose(decisions)
            except ShapeError:
                if not left:
                    raise
            else:
                break
        return decisions

    def _step(self, inputs: torch.Tensor, targets: torch.Tensor, paths: list[Decisions]) -> float:
        """Train some architectures on one batch and make one step; the mean of their losses."""
        self._make_room()
        self.optimizer.zero_grad(set_to_none=True)
        teacher: torch.Tensor | None = None
        total = 0.0
        for decisions in paths:
            self.supernet.choose(decisions)
            outputs = self.supernet(inputs)
            if teacher is None:
                loss = self.task.loss(outputs, targets)
            else:
                loss = self.task.soft_loss(outputs, teacher, temperature=1.0)
            if self.taught and teacher is None:
                teacher = outputs.detach()
            total += float(loss.detach())
            if loss.requires_grad:
                (loss / len(paths)).backward()  # type: ignore[no-untyped-call]  # torch leaves this one without types
        if self.training.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.supernet.parameters(), self.training.gradient_clip)
        self.optimizer.step()
        return total / len(paths)

    def _make_room(self) -> None:
        """Tell the optimizer of weights that the supernet got only now; what it knows of the others stays."""
        told = {id(parameter) for group in self.optimizer.param_groups for parameter in group["params"]}
        if told == set(map(id, self.supernet.parameters())):
            return
        self.supernet.to(self.device)
        held = dict(self.optimizer.state)
        self.optimizer = self._new_optimizer()
        for parameter in self.supernet.parameters():
            if parameter in held:
                self.optimizer.state[parameter] = held[parameter]

    def _new_optimizer(self) -> torch.optim.Optimizer:
        parameters = list(self.supernet.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.training.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        kept = [group for group in groups if group["params"]]
        return torch.optim.SGD(kept, lr=self.training.learning_rate, momentum=0.9, nesterov=True)
