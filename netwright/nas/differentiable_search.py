"""Search by gradients: the weights of a relaxed network and the strengths of its options, trained in turn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netwright.core.files import content_hash
from netwright.core.identity import identity_of
from netwright.core.seeds import derive_seed
from netwright.nas.gates import GateRule, anchor_penalty, gates_of, probabilities
from netwright.nas.relaxation import Choice, RelaxedNetwork
from netwright.nas.relaxed_training import RelaxedTraining
from netwright.search_spaces.space import SearchSpace
from netwright.tasks.batches import Batches
from netwright.tasks.checkpoint import TrainingState, load_state, save_state
from netwright.tasks.settings import learning_rate_factor
from netwright.tasks.task import Task
from netwright.tasks.training import NotFiniteError

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search by gradients found.

    `strengths` has the probability of every option of every decision; `epochs` how many were trained, and
    `collapsed` whether skips were about to win, so that it ended early with the strengths of the epoch before.
    """

    strengths: dict[str, list[tuple[Any, float]]]
    epochs: int
    collapsed: bool


def search_by_gradients(
    space: SearchSpace,
    task: Task,
    *,
    rule: GateRule,
    training: RelaxedTraining,
    seed: int,
    checkpoint: Path | None = None,
    device: str = "cpu",
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> Found:
    """The strengths of all options of a space's decisions; equal arguments give equal strengths.

    One half of the training samples trains the weights, the other the strengths. Ends early when skips win too
    many decisions after the warm-up, as in DARTS+ (Liang et al., 2019): without that, DARTS tends to end in cells of
    skips. After each epoch the state goes to `checkpoint`, and a search that finds one goes on from it.

    Raises SpaceError when the space cannot be relaxed, NotFiniteError when the loss does not stay finite,
    CheckpointError for a file of another search.
    """
    with torch.random.fork_rng(devices=[torch.device(device)] if device.startswith("cuda") else []):
        torch.manual_seed(derive_seed("relaxed", seed))
        trainer = _Trainer(space, task, rule=rule, training=training, seed=seed, device=device)
        first = trainer.resume(checkpoint) if checkpoint is not None else 1
        before = trainer.strengths_now()
        for epoch in range(first, training.epochs + 1):
            trainer.epoch(epoch)
            on_epoch(epoch)
            after = trainer.strengths_now()
            if epoch > training.warm_up and skip_share(trainer.network.choices, after) > training.most_skips:
                return Found(_named(trainer.network.choices, before), epoch, collapsed=True)
            if checkpoint is not None:
                trainer.save(checkpoint, epoch)
            before = after
    return Found(_named(trainer.network.choices, before), training.epochs, collapsed=False)


def skip_share(choices: tuple[Choice, ...], strengths: list[list[float]]) -> float:
    """The share of the decisions with a skip among their options that a skip wins; `none` does not compete."""
    able, won = 0, 0
    for choice, row in zip(choices, strengths, strict=True):
        if any(choice.skips):
            able += 1
            allowed = [index for index in range(len(row)) if not choice.nothing[index]]
            won += choice.skips[max(allowed, key=lambda index: row[index])]
    return won / able if able else 0.0


def _named(choices: tuple[Choice, ...], strengths: list[list[float]]) -> dict[str, list[tuple[Any, float]]]:
    return {c.name: list(zip(c.options, row, strict=True)) for c, row in zip(choices, strengths, strict=True)}


class _Trainer:
    """The moving parts of one search by gradients."""

    def __init__(
        self, space: SearchSpace, task: Task, *, rule: GateRule, training: RelaxedTraining, seed: int, device: str
    ) -> None:
        self.task, self.rule, self.training = task, rule, training
        self.network = RelaxedNetwork.of(space, task.shapes(), seed=derive_seed("weights", seed)).to(device)
        self.strengths = [
            (1e-3 * torch.randn(len(choice.options))).to(device).requires_grad_(True) for choice in self.network.choices
        ]
        self.for_weights, self.for_strengths = [
            Batches(
                task, batch_size=training.batch_size, seed=derive_seed("half", part, seed), samples=training.samples,
                part=part, parts=2, device=device,
            )
            for part in (0, 1)
        ]  # fmt: skip
        self.weights = list(self.network.parameters())
        self.weight_optimizer = torch.optim.SGD(
            self.weights, lr=training.learning_rate, momentum=0.9, weight_decay=training.weight_decay
        )
        self.strength_optimizer = torch.optim.Adam(
            self.strengths, lr=training.strength_rate, betas=(0.5, 0.999), weight_decay=training.strength_decay
        )
        self.identity = {
            "space": content_hash(identity_of(space)),
            "data": task.data().fingerprint,
            "relaxed": content_hash([rule, identity_of(training)]),
            "seed": str(seed),
            "device": device,
        }

    def save(self, path: Path, epoch: int) -> None:
        """Keep all that `resume` needs."""
        of_weights, of_strengths = (o.state_dict()["state"] for o in (self.weight_optimizer, self.strength_optimizer))
        state = TrainingState(
            identity=self.identity,
            model=self.network.state_dict(),
            optimizer=of_weights | {len(self.weights) + number: held for number, held in of_strengths.items()},
            generators={"cpu": torch.get_rng_state()},
            hooks={str(number): strength for number, strength in enumerate(self.strengths)},
            rows=[{"epoch": epoch}],
        )
        save_state(path, state)

    def resume(self, path: Path) -> int:
        """Go on from a checkpoint if there is one; the number of the epoch to train next."""
        if not path.exists():
            return 1
        state = load_state(path, identity=self.identity)
        self.network.load_state_dict(state.model)
        with torch.no_grad():
            for number, strength in enumerate(self.strengths):
                strength.copy_(state.hooks[str(number)])
        first = 0
        for optimizer, held in ((self.weight_optimizer, self.weights), (self.strength_optimizer, self.strengths)):
            numbers = {
                place: state.optimizer[first + place] for place in range(len(held)) if first + place in state.optimizer
            }
            optimizer.load_state_dict({"state": numbers, "param_groups": optimizer.state_dict()["param_groups"]})
            first += len(held)
        torch.set_rng_state(state.generators["cpu"])
        return int(state.rows[-1]["epoch"]) + 1

    def strengths_now(self) -> list[list[float]]:
        """The probability of every option."""
        return probabilities(self.strengths, self.rule)

    def epoch(self, number: int) -> None:
        """One pass over the half that trains the weights; each step first moves the strengths."""
        self.network.train()
        first, last = self.training.temperature
        done = (number - 1) / max(self.training.epochs - 1, 1)
        self.temperature = first + (last - first) * done
        others = self._endless(number)
        steps = len(self.for_weights)
        for step, batch in enumerate(self.for_weights.epoch(number)):
            factor = learning_rate_factor(
                "cosine", step=(number - 1) * steps + step, steps=self.training.epochs * steps
            )
            rate = self.training.learning_rate * factor
            for group in self.weight_optimizer.param_groups:
                group["lr"] = rate
            if number > self.training.warm_up:
                self._move_strengths(next(others), batch, rate)
            loss = self._loss(batch)
            self.weight_optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves this one without types
            nn.utils.clip_grad_norm_(self.weights, self.training.gradient_clip)
            self.weight_optimizer.step()
            if not math.isfinite(float(loss.detach())):
                raise NotFiniteError(
                    f"the relaxed network's loss became {float(loss.detach())} in epoch {number}; lower its learning "
                    f"rate (now {self.training.learning_rate})"
                )

    def _endless(self, number: int) -> Iterator[Batch]:
        while True:
            yield from self.for_strengths.epoch(number)

    def _loss(self, batch: Batch) -> torch.Tensor:
        inputs, targets = batch
        gates = gates_of(self.strengths, self.rule, temperature=self.temperature)
        return self.task.loss(self.network(inputs, gates), targets)

    def _move_strengths(self, batch: Batch, weight_batch: Batch, rate: float) -> None:
        """One step of the strengths on a batch of their own half."""
        if self.rule == "darts_second_order":
            gradients = self._second_order(batch, weight_batch, rate)
        else:
            loss = self._loss(batch)
            if self.rule == "drnas":
                loss = loss + self.training.anchor * anchor_penalty(self.strengths)
            gradients = self._gradients(loss, self.strengths)
        for strength, gradient in zip(self.strengths, gradients, strict=True):
            strength.grad = gradient
        self.strength_optimizer.step()

    def _second_order(self, batch: Batch, weight_batch: Batch, rate: float) -> list[torch.Tensor]:
        """The gradient through one step of the weights; the Hessian by a central difference (DARTS, equation 8)."""
        steps = self._gradients(self._loss(weight_batch), self.weights)
        with self._moved(steps, -rate):
            loss = self._loss(batch)
            direct = self._gradients(loss, [*self.strengths, *self.weights])
        direct, pull = direct[: len(self.strengths)], direct[len(self.strengths) :]
        size = math.sqrt(sum(float(gradient.square().sum()) for gradient in pull))
        if size == 0:
            return direct
        epsilon = 0.01 / size
        sides = []
        for sign in (1, -1):
            with self._moved(pull, sign * epsilon):
                sides.append(self._gradients(self._loss(weight_batch), self.strengths))
        return [d - rate * (up - down) / (2 * epsilon) for d, up, down in zip(direct, *sides, strict=True)]

    @contextmanager
    def _moved(self, directions: list[torch.Tensor], length: float) -> Iterator[None]:
        """The weights moved for a while; they are exactly as they were afterwards."""
        kept = [weight.detach().clone() for weight in self.weights]
        with torch.no_grad():
            for weight, direction in zip(self.weights, directions, strict=True):
                weight.add_(direction, alpha=length)
        yield
        with torch.no_grad():
            for weight, before in zip(self.weights, kept, strict=True):
                weight.copy_(before)

    def _gradients(self, loss: torch.Tensor, of: list[Any]) -> list[torch.Tensor]:
        found = torch.autograd.grad(loss, of, allow_unused=True)
        return [g if g is not None else torch.zeros_like(p) for g, p in zip(found, of, strict=True)]
