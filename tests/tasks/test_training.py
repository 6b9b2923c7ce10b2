"""Training: it learns, it is the same every time, it goes on where it stopped, it says what went wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from netwright.core.errors import CheckpointError, ConfigurationError, DataError, ShapeError, SpaceError
from netwright.tasks.kinds.digits import Digits
from netwright.tasks.kinds.image_classification import ImageClassification
from netwright.tasks.kinds.regression import Regression
from netwright.tasks.settings import Schedule, learning_rate_factor
from netwright.tasks.task import Task
from netwright.tasks.training import (
    Distillation,
    EpochRow,
    FitResult,
    NotFiniteError,
    Training,
    evaluate,
    fit,
    predict,
)

SHORT = Training(epochs=3, batch_size=64, samples=400)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def small_cnn(*, width: int = 16, seed: int = 0, dropout: float = 0.1) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(dropout), nn.Linear(8 * width, 10),
    )  # fmt: skip


class Viewing(nn.Module):
    """A network that refuses channels innermost, as many published ones do."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.head = nn.Conv2d(1, 8, 3), nn.Linear(8 * 36, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(torch.relu(self.convolution(x)).view(len(x), -1))
        return out


def equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def without_time(result: FitResult) -> list[EpochRow]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in result.rows]


def test_digits_are_learned() -> None:
    model, task = small_cnn(), Digits()
    result = fit(model, task, training=Training(epochs=6, batch_size=64), seed=0)
    assert not result.stopped
    assert [row["epoch"] for row in result.rows] == [1, 2, 3, 4, 5, 6]
    scores = {"validation_loss", "validation_accuracy", "validation_balanced_accuracy"}
    assert set(result.rows[0]) == {"epoch", "train_loss", "seconds", *scores}
    assert result.rows[-1]["train_loss"] < result.rows[0]["train_loss"] / 2
    assert result.rows[-1]["validation_accuracy"] > 0.9
    assert evaluate(model, task, "test")["accuracy"] > 0.9


@pytest.mark.parametrize("epochs", [1, 2, 3])
@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
def test_few_epochs_learn_under_every_schedule(schedule: Schedule, epochs: int) -> None:
    training = Training(epochs=epochs, batch_size=32, schedule=schedule, learning_rate=5e-3)
    rows = fit(small_cnn(), Digits(), training=training, seed=0).rows
    assert rows[-1]["validation_accuracy"] > 0.7


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
def test_the_learning_rate_is_positive_and_peaks_near_its_setting(schedule: Schedule, steps: int) -> None:
    factors = [learning_rate_factor(schedule, step=step, steps=steps) for step in range(steps)]
    assert min(factors) > 0
    assert max(factors) <= 1
    assert max(factors) > (0.99 if steps >= 10 else 0.49)


def test_momentum_learns_too() -> None:
    training = Training(epochs=3, batch_size=32, optimizer="sgd", learning_rate=0.05, gradient_clip=1.0)
    assert fit(small_cnn(), Digits(), training=training, seed=0).rows[-1]["validation_accuracy"] > 0.8


@pytest.mark.parametrize("task", [Digits(), Digits(shift=2, flip=True)], ids=["plain", "augmented"])
def test_equal_seeds_give_bit_equal_weights(task: Task) -> None:
    models = [small_cnn() for _ in range(3)]
    results = [fit(m, task, training=SHORT, seed=s) for m, s in zip(models, (1, 1, 2), strict=True)]
    assert equal(models[0], models[1])
    assert without_time(results[0]) == without_time(results[1])
    assert not equal(models[0], models[2])


def test_global_random_numbers_neither_matter_nor_change() -> None:
    models = [small_cnn(), small_cnn()]
    torch.manual_seed(5)
    expected = torch.get_rng_state()
    fit(models[0], Digits(), training=SHORT, seed=1)
    assert torch.equal(torch.get_rng_state(), expected)
    torch.manual_seed(6)
    fit(models[1], Digits(), training=SHORT, seed=1, on_epoch=lambda row: bool(torch.rand(3).sum() >= 0))
    assert equal(models[0], models[1])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_resumed_training_ends_bit_equal(tmp_path: Path, optimizer: str) -> None:
    task = Digits(shift=1)
    training = Training.parse({**SHORT.model_dump(), "optimizer": optimizer})
    whole, first, second = small_cnn(), small_cnn(), small_cnn()
    expected = fit(whole, task, training=training, seed=3)
    path = tmp_path / "training.safetensors"
    cut = fit(first, task, training=training, seed=3, checkpoint=path, on_epoch=lambda row: row["epoch"] < 2)
    assert cut.stopped
    assert len(cut.rows) == 2
    seen: list[float] = []

    def listen(row: EpochRow) -> bool:
        seen.append(row["epoch"])
        return True

    result = fit(second, task, training=training, seed=3, checkpoint=path, on_epoch=listen)
    assert seen == [3]
    assert equal(whole, second)
    assert without_time(result) == without_time(expected)
    assert result.seconds >= cut.seconds


def test_the_stopped_model_itself_may_go_on(tmp_path: Path) -> None:
    path, whole, model = tmp_path / "t.safetensors", small_cnn(), small_cnn()
    fit(whole, Digits(), training=SHORT, seed=3)
    fit(model, Digits(), training=SHORT, seed=3, checkpoint=path, on_epoch=lambda row: False)
    fit(model, Digits(), training=SHORT, seed=3, checkpoint=path)
    assert equal(whole, model)


def test_a_complete_checkpoint_gives_the_model_at_once(tmp_path: Path) -> None:
    path, whole, again = tmp_path / "t.safetensors", small_cnn(), small_cnn()
    expected = fit(whole, Digits(), training=SHORT, seed=3, checkpoint=path)
    assert fit(again, Digits(), training=SHORT, seed=3, checkpoint=path) == expected
    assert equal(whole, again)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    path, task = tmp_path / "t.safetensors", Digits()
    fit(small_cnn(), task, training=SHORT, seed=3, checkpoint=path, on_epoch=lambda row: False)
    longer = Training.parse({**SHORT.model_dump(), "epochs": 9})
    for model, training, seed, differs in (
        (small_cnn(), longer, 3, "training.epochs"),
        (small_cnn(), SHORT, 4, "seed"),
        (small_cnn(seed=1), SHORT, 3, "start"),
        (small_cnn(width=8), SHORT, 3, "model, start"),
    ):
        with pytest.raises(CheckpointError, match=f"another training: it differs in {differs}; give another"):
            fit(model, task, training=training, seed=seed, checkpoint=path)


def rewritten(path: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> Path:
    """A checkpoint with another identity, as an earlier version would have written it."""
    with safe_open(path, framework="pt") as stored:
        facts = json.loads(stored.metadata()["netwright"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 -- no mapping
    facts["identity"] = change(facts["identity"])
    older = path.with_name("older.safetensors")
    save_file(tensors, older, metadata={"netwright": json.dumps(facts)})
    return older


def test_a_checkpoint_from_before_a_setting_existed_counts_as_made_with_its_default(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    fit(small_cnn(), Digits(), training=SHORT, seed=3, checkpoint=path, on_epoch=lambda row: False)
    new = ("training.balanced", "task.shift")
    older = rewritten(path, lambda identity: {name: v for name, v in identity.items() if name not in new})
    balanced = Training.parse({**SHORT.model_dump(), "balanced": True})
    with pytest.raises(CheckpointError, match=r"it differs in training\.balanced;"):
        fit(small_cnn(), Digits(), training=balanced, seed=3, checkpoint=older)
    with pytest.raises(CheckpointError, match=r"it differs in task\.shift;"):
        fit(small_cnn(), Digits(shift=1), training=SHORT, seed=3, checkpoint=older)
    assert len(fit(small_cnn(), Digits(), training=SHORT, seed=3, checkpoint=older).rows) == SHORT.epochs


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "text", "empty"])
def test_a_damaged_checkpoint_is_refused_with_its_path(tmp_path: Path, damage: str) -> None:
    from safetensors.torch import save

    path = tmp_path / "t.safetensors"
    fit(small_cnn(), Digits(), training=SHORT, seed=3, checkpoint=path, on_epoch=lambda row: False)
    raw = path.read_bytes()
    flipped = raw[:-9] + bytes([raw[-9] ^ 1]) + raw[-8:]
    foreign = save({"weight": torch.zeros(3)}, metadata={"netwright": "{}"})
    contents = {"cut": raw[:-100], "flipped": flipped, "foreign": foreign, "text": b"hello", "empty": b""}
    path.write_bytes(contents[damage])
    with pytest.raises(CheckpointError, match=r"t\.safetensors cannot be used: .*delete the file"):
        fit(small_cnn(), Digits(), training=SHORT, seed=3, checkpoint=path)


def test_stopping_after_the_last_epoch_is_not_stopping() -> None:
    training = Training(epochs=1, samples=100)
    assert not fit(small_cnn(), Digits(), training=training, seed=0, on_epoch=lambda row: False).stopped


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_loss_that_is_not_finite_is_an_error(optimizer: str) -> None:
    training = Training.parse({**SHORT.model_dump(), "optimizer": optimizer, "learning_rate": 1e30})
    with pytest.raises(NotFiniteError, match=r"in epoch \d; lower the learning rate \(now 1e\+30\)"):
        fit(small_cnn(), Digits(), training=training, seed=0)


def test_a_student_learns_from_its_teacher() -> None:
    task, training = Digits(), Training(epochs=10, batch_size=32)
    teacher, student, alone = small_cnn(), small_cnn(width=8, seed=1), small_cnn(width=8, seed=1)
    fit(teacher, task, training=training, seed=0)
    before = small_cnn()
    before.load_state_dict(teacher.state_dict())
    fit(student, task, training=training, seed=0, teacher=teacher, distillation=Distillation(weight=1.0))
    fit(alone, task, training=training, seed=0)
    assert equal(before, teacher)
    assert teacher.training
    inputs = task.data().preprocessing(task.data().validation.inputs)
    soft = [torch.tensor(predict(m, inputs) / 4).log_softmax(1) for m in (teacher, student, alone)]
    gaps = [float((soft[0].exp() * (soft[0] - other)).sum(1).mean()) for other in soft[1:]]
    assert gaps[0] < 0.7 * gaps[1]
    assert evaluate(student, task, "validation")["accuracy"] > 0.85


def test_the_distillation_loss_is_the_published_one() -> None:
    torch.manual_seed(0)
    task, whole = Digits(), Training(epochs=1, batch_size=5000)
    teacher, student = (nn.Sequential(nn.Flatten(), nn.Linear(64, 10)) for _ in range(2))
    data = task.data()
    inputs = data.preprocessing(data.train.inputs)
    p, q = (torch.tensor(predict(m, inputs)).double().div(3).softmax(1) for m in (teacher, student))
    soft = 9 * float((p * (p / q).log()).sum(1).mean())
    expected = 0.6 * soft + 0.4 * evaluate(student, task, "train")["loss"]
    settings = Distillation(temperature=3, weight=0.6)
    (row,) = fit(student, task, training=whole, seed=0, teacher=teacher, distillation=settings).rows
    assert row["train_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_moved_data_file_does_not_end_a_training(tmp_path: Path) -> None:
    arrays, path = Digits().load().train, tmp_path / "t.safetensors"
    places = [ImageClassification.from_arrays(*arrays, folder=tmp_path / name) for name in ("old", "new")]
    fit(small_cnn(), places[0], training=SHORT, seed=0, checkpoint=path, on_epoch=lambda row: False)
    assert len(fit(small_cnn(), places[1], training=SHORT, seed=0, checkpoint=path).rows) == 3


def test_kept_teacher_outputs_equal_those_of_each_batch() -> None:
    class Moved(Digits):
        """Digits whose augmentation changes nothing, so that the teacher runs on each batch."""

        def augments(self) -> bool:
            return True

    teacher, models = small_cnn(seed=7), [small_cnn(), small_cnn()]
    results = [
        fit(m, task, training=SHORT, seed=0, teacher=teacher)
        for m, task in zip(models, (Digits(), Moved()), strict=True)
    ]
    losses = [[row["train_loss"] for row in result.rows] for result in results]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_distillation_needs_a_teacher_that_is_another_model() -> None:
    model = small_cnn()
    with pytest.raises(ConfigurationError, match="needs a teacher"):
        fit(model, Digits(), training=SHORT, seed=0, distillation=Distillation())
    with pytest.raises(ConfigurationError, match="is the model itself"):
        fit(model, Digits(), training=SHORT, seed=0, teacher=model)


def test_a_model_that_refuses_channels_innermost_is_trained_all_the_same() -> None:
    model = Viewing()
    rows = fit(model, Digits(), training=Training(epochs=4, batch_size=32), seed=0).rows
    assert rows[-1]["validation_accuracy"] > 0.9


def test_the_model_ends_in_the_mode_and_memory_order_it_came_with() -> None:
    model = small_cnn().eval()
    fit(model, Digits(), training=SHORT, seed=0)
    assert not any(part.training for part in model.modules())
    assert all(parameter.is_contiguous() for parameter in model.parameters())


def test_the_same_samples_serve_every_seed() -> None:
    seen: list[set[bytes]] = []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                seen[-1] |= {sample.contiguous().numpy().tobytes() for sample in x}
            out: torch.Tensor = self.head(x.flatten(1))
            return out

    for seed, samples in ((0, 50), (1, 50), (2, 80)):
        seen.append(set())
        fit(Watched(), Digits(), training=Training(epochs=2, samples=samples, batch_size=25), seed=seed)
    assert [len(samples) for samples in seen] == [50, 50, 80]
    assert seen[0] == seen[1] < seen[2]


def imbalanced(folder: Path) -> ImageClassification:
    """Noisy images of two classes, one of them 19 times as frequent."""
    rng = np.random.default_rng(0)
    labels = (np.arange(400) % 20 == 0).astype(np.int64)
    images = rng.normal(labels[:, None, None] * 0.25, 1, (400, 4, 4)).astype(np.float32)
    np.savez(folder / "rare.npz", x_train=images, y_train=labels)
    return ImageClassification(path=folder / "rare.npz")


def test_balanced_drawing_learns_a_rare_class_that_is_else_ignored(tmp_path: Path) -> None:
    task, reached = imbalanced(tmp_path), {}
    for balanced in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
        fit(model, task, training=Training(epochs=10, batch_size=32, learning_rate=0.01, balanced=balanced), seed=0)
        reached[balanced] = evaluate(model, task, "train")["balanced_accuracy"]
    assert reached[True] > reached[False] + 0.1


def test_balanced_drawing_is_for_classes(tmp_path: Path) -> None:
    task = Regression.parse(Regression.example_settings(tmp_path))
    model = nn.Sequential(nn.Flatten(), nn.Linear(task.shapes().input_size, task.shapes().classes))
    with pytest.raises(ConfigurationError, match=r"training\.balanced: needs a task with one class"):
        fit(model, task, training=Training(epochs=1, balanced=True), seed=0)


def test_a_single_left_over_sample_is_no_batch() -> None:
    training = Training(epochs=1, samples=65, batch_size=64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))
    assert len(fit(model, Digits(), training=training, seed=0).rows) == 1


def test_outputs_that_do_not_fit_the_task_are_refused() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
    with pytest.raises(ShapeError, match=r"gives \(64, 7\) for 64 samples; one row of 10 values"):
        fit(model, Digits(), training=SHORT, seed=0)


def test_a_model_without_weights_is_refused() -> None:
    with pytest.raises(SpaceError, match="no trainable parameter"):
        fit(nn.Flatten(), Digits(), training=SHORT, seed=0)


@pytest.mark.parametrize("device", ["cuda:99", "toaster"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(ConfigurationError, match=f"device: .*{device}"):
        fit(small_cnn(), Digits(), training=SHORT, seed=0, device=device)


def test_prediction_leaves_the_model_as_it_was_and_does_not_depend_on_the_batch() -> None:
    model, data = small_cnn(), Digits().data()
    model[1].eval()  # type: ignore[index]  # a sequence of modules
    modes = [part.training for part in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    inputs = data.preprocessing(data.validation.inputs)
    one, other = predict(model, inputs), predict(model, inputs, batch_size=7)
    assert one.shape == (len(inputs), 10)
    assert one.dtype == np.float32
    assert np.allclose(one, other, atol=1e-5)
    assert np.array_equal(one, predict(model, data.validation.inputs, preprocessing=data.preprocessing))
    assert [part.training for part in model.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_nothing_to_predict_and_unknown_splits_are_errors() -> None:
    with pytest.raises(DataError, match="no inputs to predict"):
        predict(small_cnn(), np.zeros((0, 1, 8, 8), np.float32))
    with pytest.raises(DataError, match="known: train, validation, test"):
        evaluate(small_cnn(), Digits(), "training")


def test_logits_that_are_not_finite_have_no_finite_loss() -> None:
    assert np.isnan(Digits().score(np.full((2, 10), np.inf, np.float32), np.array([0, 1]))["loss"])


@pytest.mark.gpu
def test_a_gpu_learns_digits_and_gives_the_model_back() -> None:
    model = small_cnn()
    training = Training(epochs=6, batch_size=64)
    rows = fit(model, Digits(shift=1), training=training, seed=0, device="cuda").rows
    assert rows[-1]["validation_accuracy"] > 0.9
    assert all(parameter.device.type == "cpu" for parameter in model.parameters())
