"""What a pass may use: the task, example and calibration data, the original network, seed, fine-tuning."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.core.errors import CompressionError, NetwrightError
from netwright.core.files import content_hash
from netwright.core.progress import Event, Listener, silent
from netwright.core.seeds import derive_seed
from netwright.tasks.settings import Distillation, Training

if TYPE_CHECKING:
    import torch
    from torch import nn

    from netwright.compression.form import Form
    from netwright.tasks.task import Task
    from netwright.tasks.training_hook import TrainingHook

EXAMPLES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Everything around the model, the same for all passes of a recipe.

    example: preprocessed float32 batch [16, *shape]; calibration: preprocessed float32 [N, *shape], drawn from
    the training data, with `calibration_targets` [N, ...]. `original` is the network as it came into the recipe, the
    teacher of fine-tuning. `workspace` is a folder for files that passes make. With `dry` nothing is trained:
    a pass then shows what it would do to the network at once. `trial` gives a trained network of the run by its number;
    it is absent outside of a run.
    """

    task: Task
    example: np.ndarray[Any, Any]
    calibration: np.ndarray[Any, Any]
    calibration_targets: np.ndarray[Any, Any]
    original: nn.Module
    training: Training
    distillation: Distillation
    seed: int
    workspace: Path
    listener: Listener = field(default=silent)
    device: str = "cpu"
    dry: bool = False
    trial: Callable[[int], nn.Module] | None = None

    def without_training(self) -> Context:
        """The same context for a look ahead: fine-tuning returns the network as it is."""
        return replace(self, dry=True)

    def example_tensor(self) -> torch.Tensor:
        """The example as a tensor [16, *shape]."""
        import torch

        return torch.tensor(self.example)

    def evaluate(self, module: nn.Module) -> dict[str, float]:
        """The task's scores on the validation split, e.g. accuracy and loss."""
        from netwright.tasks.training import evaluate

        return dict(evaluate(module, self.task, "validation"))

    def fine_tune(
        self,
        module: nn.Module,
        *,
        purpose: str,
        variant: str = "",
        epochs: int | None = None,
        learning_rate: float | None = None,
        distill: bool = True,
        teacher: nn.Module | None = None,
        forms: Mapping[str, Form] | None = None,
        hooks: Sequence[TrainingHook] = (),
    ) -> nn.Module:
        """A trained copy, its parameters kept in their `forms`; with `distill` the original, or `teacher`, teaches it.

        `purpose`, and a `variant` that the listener is not told, make the seed its own and must differ between the
        trainings of one pass. A training that was cut short goes on from its last epoch. Raises NotFiniteError when
        training diverges, and CompressionError for a network that gives more than one tensor in training.
        """
        from netwright.compression.form import FormsHook
        from netwright.tasks.checkpoint import digest_of
        from netwright.tasks.training import fit

        student = copy.deepcopy(module)
        if epochs == 0 or self.dry:
            return student.eval()
        self._check_trains()
        training = self.training.lasting(epochs)
        if learning_rate is not None:
            training = training.model_copy(update={"learning_rate": learning_rate})
        for parameter in student.parameters():
            parameter.requires_grad_(True)

        whole_purpose = f"{purpose} {variant}".rstrip()
        hooks = [*([FormsHook(forms)] if forms else []), *hooks]
        taught = [distill, self.distillation.model_dump(mode="json"), *(hook.identity() for hook in hooks)]
        taught += [digest_of(teacher.state_dict())] if teacher is not None else []

        def told(row: Any) -> bool:
            self.listener(Event("compress.epoch", {"purpose": purpose, "score": self.task.primary().metric, **row}))
            return True

        fit(
            student,
            self.task,
            training=training,
            seed=derive_seed(self.seed, "fine_tune", whole_purpose),
            on_epoch=told,
            teacher=(teacher or self.original) if distill else None,
            distillation=self.distillation if distill else None,
            hooks=hooks,
            checkpoint=self._checkpoint(student, whole_purpose, training, taught),
            device=self.device,
        )
        return student.eval()

    def _check_trains(self) -> None:
        """Raises CompressionError where the original does not give one tensor in training."""
        import torch

        try:
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                found = copy.deepcopy(self.original).train()(self.example_tensor())
            told = "" if isinstance(found, torch.Tensor) else f"a {type(found).__name__}, not one tensor"
        except Exception as error:
            # a network of one's own may raise anything
            told = f"{type(error).__name__}: {error}"
        if told:
            raise CompressionError(
                f"the network cannot be trained further: in training its forward gives {told}; leave out what it has "
                "for its training alone, such as auxiliary heads"
            )

    def _checkpoint(self, student: nn.Module, purpose: str, training: Training, taught: Sequence[object]) -> Path:
        """Where a training's state lies until its stage is done; another network or setting has another place."""
        from netwright.tasks.checkpoint import digest_of

        key = content_hash(
            [purpose, self.seed, training.model_dump(mode="json"), digest_of(student.state_dict()), *taught]
        )
        return self.trainings / f"{key[:24]}.safetensors"

    @property
    def trainings(self) -> Path:
        """The folder of unfinished trainings."""
        return self.workspace / "trainings"

    def gradients(self, module: nn.Module) -> dict[str, torch.Tensor]:
        """The gradient of the task's loss on the calibration data, by parameter name."""
        import torch

        probe = copy.deepcopy(module).eval()
        for parameter in probe.parameters():
            parameter.requires_grad_(True)
        inputs = torch.tensor(self.calibration)
        targets = torch.tensor(self.calibration_targets)
        with torch.enable_grad():
            loss = self.task.loss(probe(inputs), targets)
            torch.autograd.backward(loss)
        return {n: p.grad.detach() for n, p in probe.named_parameters() if p.grad is not None}


def make_context(
    task: Task,
    original: nn.Module,
    *,
    workspace: Path,
    training: Training,
    distillation: Distillation | None = None,
    seed: int = 0,
    listener: Listener = silent,
) -> Context:
    """The context of a task: example and calibration inputs are drawn and preprocessed from its data.

    Raises CompressionError when the network does not fit the task's inputs.
    """
    data = task.data()
    calibration = np.asarray(data.preprocessing(data.calibration.inputs), dtype=np.float32)
    example = calibration[:EXAMPLES]
    if len(example) < EXAMPLES:
        example = np.resize(example, (EXAMPLES, *example.shape[1:]))
    context = Context(
        task=task,
        example=example,
        calibration=calibration,
        calibration_targets=np.asarray(data.calibration.targets),
        original=copy.deepcopy(original).eval(),
        training=training,
        distillation=distillation or Distillation(),
        seed=seed,
        workspace=workspace,
        listener=listener,
    )
    _check_fit(context)
    return context


def _check_fit(context: Context) -> None:
    from netwright.compression.proof import outputs

    shape = tuple(context.example.shape[1:])
    built = {name: tuple(tensor.shape) for name, tensor in context.original.state_dict().items()}
    try:
        found = outputs(context.original, context.example_tensor())
    except NetwrightError:
        raise
    except Exception as error:
        # a network of one's own may raise anything
        told = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise CompressionError(f"the network does not run on the task's inputs {_batch(shape)}: {told}") from error
    for name, tensor in context.original.state_dict().items():
        if built.get(name) != tuple(tensor.shape):
            raise CompressionError(
                f"the network gives {name!r} another shape when it runs: {built.get(name)} became "
                f"{tuple(tensor.shape)}; make it so in the constructor, or register it with persistent=False"
            )
    wanted = context.task.shapes().output_shape
    given = tuple(found.shape[1:])
    if given != wanted:
        flat = prod(given) == prod(wanted) and len(wanted) == 1
        hint = ", the same values in a row: end the network with torch.nn.Flatten()" if flat else ""
        raise CompressionError(f"the network gives outputs {_batch(given)}; the task expects {_batch(wanted)}{hint}")


def _batch(shape: Sequence[int]) -> str:
    return f"[{', '.join(['batch', *map(str, shape)])}]"
