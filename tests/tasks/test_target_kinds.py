"""Values, masks, images and steps of one's own: how they are read, what is refused, and what the scores mean."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from netwright.core.errors import ConfigurationError, DataError, ShapeError
from netwright.search_spaces.spaces.unfolded import Unfolded
from netwright.tasks.answers import images, masks, several, steps, values
from netwright.tasks.kinds.image_to_image import ImageToImage
from netwright.tasks.kinds.regression import Regression
from netwright.tasks.kinds.segmentation import Segmentation
from netwright.tasks.kinds.sequence_classification import SequenceClassification
from netwright.tasks.kinds.sequence_labelling import SequenceLabelling
from netwright.tasks.task import Task

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 255, (12, 6, 8)).astype(np.uint8)
MASKS = (GREY > 100).astype(np.uint8)
ROLLS = RNG.integers(0, 2, (12, 5, 4))
STEPS = RNG.integers(0, 3, (12, 5))
NUMBERS = RNG.normal(size=(12, 3))


def task(kind: type[Task], inputs: Any, targets: Any, *, folder: Path, **settings: Any) -> Task:
    path = folder / f"data{len(list(folder.iterdir()))}.npz"
    np.savez(path, x=inputs, y=targets)
    return kind.parse({"path": path, **settings})


@pytest.mark.parametrize(
    ("kind", "inputs", "targets", "sentence"),
    [
        (Regression, NUMBERS, np.full(12, np.nan), "has 12 of 12 target values that are nan, infinite"),
        (Regression, NUMBERS, np.full(12, "a"), "targets of the type <U1; give numbers"),
        (Regression, NUMBERS, np.ones(12), "all training targets are the same value"),
        (Regression, NUMBERS, np.zeros((12, 2, 2)), "give one value per sample"),
        (Regression, NUMBERS[:5], np.arange(5.0), "5 training sample.s. are too few to split into 3 parts"),
        (Segmentation, GREY, MASKS[:, :5], "has masks of shape .* for images of 6x8 pixels; give one class"),
        (Segmentation, GREY, 255 * MASKS, "masks of 0 and 255; set `mask_values"),
        (Segmentation, GREY, MASKS.astype(float), "targets of the type float64; whole numbers from 0"),
        (Segmentation, GREY, MASKS * 0, "all training samples are of one class"),
        (Segmentation, GREY, np.arange(12) % 2, "give one class number per pixel"),
        (ImageToImage, GREY, np.arange(12), "have no axis of 1, 3 or 4 channels"),
        (ImageToImage, GREY, GREY[:11], "has 12 inputs and 11 targets"),
        (ImageToImage, GREY, GREY * 0.0, "all pixels of the training targets are the same"),
        (SequenceLabelling, ROLLS, STEPS[:, :4], "targets of 4 steps for inputs of 5 steps"),
        (SequenceLabelling, ROLLS, ROLLS, "give one class number per step.*set `several: true`"),
        (SequenceLabelling, ROLLS, STEPS * 0 - 1, "have no label but -1"),
    ],
)
def test_unusable_targets_are_refused(
    kind: type[Task], inputs: Any, targets: Any, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=sentence):
        task(kind, inputs, targets, folder=tmp_path).data()


def test_several_labels_are_zeros_and_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="targets that are neither 0 nor 1"):
        task(SequenceLabelling, ROLLS, ROLLS * 2, folder=tmp_path, several=True).data()


def test_what_lies_on_the_input_cannot_be_shifted_alone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the targets would stay where they are; set shift to 0"):
        task(Segmentation, GREY, MASKS, folder=tmp_path, shift=2).data()


def test_masks_are_mirrored_with_their_images(tmp_path: Path) -> None:
    made = task(Segmentation, GREY, MASKS, folder=tmp_path, flip=True)
    pictures = torch.tensor(GREY[:, None])
    found, moved = made.augment_both(pictures, pictures[:, 0], torch.Generator().manual_seed(0))
    assert torch.equal(found[:, 0], moved)
    assert not torch.equal(found, pictures)


def table(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text)
    return path


def test_a_table_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    rows = "\n".join(f"{n},{n % 3},{2 * n},{n % 5}" for n in range(20))
    path = table(tmp_path, f"id,a,price,b\n{rows}\n")
    made = Regression(path=path, columns=("price",), ignore=("id",))
    assert (made.shapes().input, made.shapes().output) == ((2,), 1)
    assert Regression(path=path).shapes().input == (3,)


@pytest.mark.parametrize(
    ("text", "settings", "sentence"),
    [
        ("a,b\n1,2\n", {"columns": ["c"]}, "has no column 'c'.*known: a, b"),
        ("a,b\n1,x\n", {}, "row 2, column 'b': 'x' is no number"),
        ("a,b\n1,2\n3\n", {}, "row 3: 1 value for 2 columns"),
        ("a\n1\n", {}, "no column left for the inputs"),
        ("a,b\n", {}, "has no row of values"),
        ("a,a\n1,2\n", {}, "two columns of one name"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(
    text: str, settings: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=sentence):
        Regression.parse({"path": table(tmp_path, text), **settings}).data()


def test_masks_may_have_values_of_their_own(tmp_path: Path) -> None:
    values_of = np.array([7, 200])[MASKS]
    made = task(Segmentation, GREY, values_of, folder=tmp_path, mask_values=[7, 200])
    plain = task(Segmentation, GREY, MASKS, folder=tmp_path)
    assert np.array_equal(made.data().train.targets, plain.data().train.targets)
    with pytest.raises(DataError, match="value 200, which is not among the mask_values"):
        task(Segmentation, GREY, values_of, folder=tmp_path, mask_values=[7, 9]).data()


def test_tiles_of_one_image_stay_in_one_split(tmp_path: Path) -> None:
    numbered = np.broadcast_to(np.arange(12, dtype=np.uint8)[:, None, None], GREY.shape)
    made = task(Segmentation, numbered, MASKS, folder=tmp_path, tile=3)
    data = made.data()
    parts = [set(np.unique(split.inputs)) for split in (data.train, data.validation, data.test.read())]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 12
    assert made.shapes().input == (1, 3, 3)
    assert len(data.train) == 4 * len(parts[0])


def test_a_tile_is_the_same_place_of_input_and_larger_target(tmp_path: Path) -> None:
    large = GREY.repeat(2, axis=1).repeat(2, axis=2)
    data = task(ImageToImage, GREY, large, folder=tmp_path, tile=3).data()
    assert data.train.targets.shape[1:] == (1, 6, 6)
    assert np.array_equal(data.train.targets[:, :, ::2, ::2], data.train.inputs)
    with pytest.raises(DataError, match="no tile of 7x7"):
        task(ImageToImage, GREY, large, folder=tmp_path, tile=7).data()


def test_folders_of_images_and_masks_are_paired_by_name(tmp_path: Path) -> None:
    for number in range(8):
        for name, array in (("images", GREY[number]), ("masks", MASKS[number])):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(array).save(tmp_path / name / f"{number}.png")
    data = Segmentation(path=tmp_path).data()
    found = np.concatenate([data.train.targets, data.validation.targets, data.test.read().targets])
    assert sorted(mask.tobytes() for mask in found) == sorted(mask.tobytes() for mask in MASKS[:8])
    (tmp_path / "masks" / "3.png").unlink()
    with pytest.raises(DataError, match=r"images has '3', .*masks has no file of that name"):
        Segmentation(path=tmp_path, split_seed=1).data()


def test_a_path_may_name_an_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", str(tmp_path))
    assert Regression.parse({"path": "$MINE/a.csv"}).path == tmp_path / "a.csv"
    with pytest.raises(ConfigurationError, match="environment variable NOT_THERE is not set"):
        Regression.parse({"path": "$NOT_THERE/a.csv"})


def test_values_are_scored_in_the_units_of_the_data() -> None:
    targets = np.array([[10.0], [20.0], [60.0]])
    settings = {"mean": [30.0], "std": [20.0]}
    found = values.scores(np.array([[-1.0], [0.0], [1.5]], np.float32), targets, settings)
    assert found["rmse"] == pytest.approx(np.sqrt(100 / 3))
    assert found["mae"] == pytest.approx(10 / 3)
    assert found["r2"] == pytest.approx(1 - 100 / 1400)


def test_masks_are_scored_over_all_pixels_but_the_ignored() -> None:
    targets = np.array([[[0, 0, 1, 255]]])
    logits = np.array([[[[1.0, 0.0, 0.0, 1.0]], [[0.0, 1.0, 1.0, 0.0]]]])
    found = masks.scores(logits, targets, {"ignore": 255})
    assert found["pixel_accuracy"] == pytest.approx(2 / 3)
    assert found["mean_iou"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert found["dice"] == pytest.approx(2 / 3)


def test_a_class_that_is_neither_there_nor_found_is_left_out() -> None:
    logits = np.zeros((1, 3, 1, 2))
    logits[0, 0] = 1
    assert masks.scores(logits, np.zeros((1, 1, 2), int), {})["mean_iou"] == 1


def test_the_ratio_of_images_is_the_mean_over_images() -> None:
    settings = {"scale": 1.0, "mean": [0.0], "std": [1.0], "peak": 10.0, "loss": "l2"}
    outputs, targets = np.zeros((2, 1, 2, 2)), np.ones((2, 1, 2, 2))
    targets[1] *= 10
    assert images.scores(outputs, targets, settings)["psnr"] == pytest.approx((20 + 0) / 2)
    assert images.scores(targets, targets, settings)["psnr"] == pytest.approx(100)


def test_steps_after_the_end_do_not_count() -> None:
    outputs = np.zeros((1, 3, 2))
    outputs[0, :, 1] = np.log(3)
    found = steps.scores(outputs, np.array([[1, 0, -1]]), {})
    assert found["step_accuracy"] == pytest.approx(1 / 2)
    assert found["nll"] == pytest.approx((-np.log(3 / 4) - np.log(1 / 4)) / 2)


def test_the_likelihood_of_several_labels_is_summed_over_the_labels_of_a_step() -> None:
    outputs = np.zeros((1, 2, 88))
    targets = np.zeros((1, 2, 88))
    targets[0, 1] = -1
    found = several.scores(outputs, targets, {})
    assert found["nll"] == pytest.approx(88 * np.log(2))
    assert found["step_f1"] == 0


def test_values_that_a_law_ties_are_left_as_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    matrix, x = rng.normal(size=(4, 6)), 3 + rng.normal(size=(40, 6))
    task = Regression.from_arrays(x @ matrix.T, x, folder=tmp_path, standardise=False)
    split = task.data().validation
    measured = task.data().preprocessing(split.inputs)
    assert np.allclose(measured, split.targets @ matrix.T, atol=1e-4)
    outputs = split.targets.astype(np.float32)
    assert task.score(outputs, split.targets)["rmse"] == 0
    assert float(task.loss(torch.tensor(outputs), torch.tensor(split.targets))) == 0


def test_what_needs_no_network_is_known(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(90, 3)), rng.normal(5, 2, 90)
    for standardise in (True, False):
        values = Regression.from_arrays(x, y, folder=tmp_path, standardise=standardise)
        words, scores = values.naive() or ("", {})
        assert words == "always answering the mean of the training targets"
        error = values.data().validation.targets - values.data().train.targets.mean()
        assert scores["rmse"] == pytest.approx(np.sqrt(np.square(error).mean()), rel=1e-4)
    noisy, clean = rng.normal(size=(2, 30, 8, 8))
    words, scores = ImageToImage.from_arrays(noisy, clean, folder=tmp_path, peak=10).naive() or ("", {})
    assert words == "giving the input as it is"
    assert scores["mse"] == pytest.approx(2, rel=0.2)
    labels = (rng.random(90) < 0.8).astype(np.int64)
    sequences = SequenceClassification.from_arrays(rng.normal(size=(90, 5)), labels, folder=tmp_path)
    words, scores = sequences.naive() or ("", {})
    assert words == "always answering the most frequent class"
    assert scores["accuracy"] == (sequences.data().validation.targets == 1).mean()


def test_a_space_may_know_that_values_are_standardised(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    law = rng.normal(size=(4, 6))
    unknowns = rng.normal(3, 1, size=(80, 6))
    np.savez(tmp_path / "problem.npz", A=law)
    np.savez(tmp_path / "pairs.npz", inputs=unknowns @ law.T, targets=unknowns)
    space = Unfolded(kinds=("lista",), operator=f"{tmp_path / 'problem.npz'}:A")
    plain, scaled = (Regression(path=tmp_path / "pairs.npz", standardise=flag) for flag in (False, True))
    assert (plain.shapes().standardised, scaled.shapes().standardised) == (False, True)
    assert plain.shapes().to_json() == scaled.shapes().to_json()
    assert space.graph(space.sample(random.Random(0)), plain.shapes())
    with pytest.raises(ShapeError, match="but the task standardises them; set `standardise: false` in the task"):
        space.graph(space.sample(random.Random(0)), scaled.shapes())
    learned = Unfolded(kinds=("lista",))
    assert learned.graph(learned.sample(random.Random(0)), scaled.shapes())


def test_the_most_frequent_class_everywhere_is_what_masks_and_steps_are_compared_with(tmp_path: Path) -> None:
    drawn = np.where(RNG.random((24, 6, 8)) < 0.7, 2, RNG.integers(0, 3, (24, 6, 8)))
    drawn[:, 0] = 255
    masks_task = task(
        Segmentation, RNG.integers(0, 9, (24, 6, 8)).astype(np.uint8), drawn, folder=tmp_path, ignore_label=255
    )
    found = masks_task.naive()
    assert found is not None
    known = masks_task.data().validation.targets[:, 1:]
    assert found[0] == "answering the most frequent class everywhere"
    assert found[1]["pixel_accuracy"] == pytest.approx((known == 2).mean())
    wanted = np.where(np.arange(9) < 7, drawn.reshape(24, -1)[:, 8:17], -1)
    steps_task = task(SequenceLabelling, RNG.normal(size=(24, 9, 2)), wanted, folder=tmp_path)
    told = steps_task.naive()
    assert told is not None
    validation = steps_task.data().validation.targets
    assert told[1]["step_accuracy"] == pytest.approx((validation == 2).sum() / (validation >= 0).sum())


def test_each_labels_share_is_what_labels_of_steps_are_compared_with(tmp_path: Path) -> None:
    wanted = (RNG.random((30, 8, 2)) < np.array([0.1, 0.6])).astype(np.int8)
    wanted[::2, 5:] = -1
    labels_task = task(SequenceLabelling, RNG.normal(size=(30, 8, 3)), wanted, folder=tmp_path, several=True)
    told = labels_task.naive()
    assert told is not None
    data = labels_task.data()
    train, validation = (part[part.min(axis=2) >= 0] for part in (data.train.targets, data.validation.targets))
    share, there = (train.sum(axis=0) + 0.5) / (len(train) + 1), validation.mean(axis=0)
    nll = -(there * np.log(share) + (1 - there) * np.log(1 - share)).sum()
    assert told[1]["nll"] == pytest.approx(nll, rel=1e-5)


def test_who_runs_a_model_is_told_of_tiles_and_of_the_values_that_come_out(tmp_path: Path) -> None:
    assert Segmentation(path=tmp_path, tile=64).prepared() == "images are cut into tiles of 64x64 pixels"
    assert ImageToImage(path=tmp_path).prepared() == ""
    assert Regression(path=tmp_path, columns=("price", "rent")).targets().gives(2) == "gives 2 values: price, rent"
    assert Regression(path=tmp_path).targets().gives(1) == "gives 1 value"


def test_the_answer_without_a_network_has_the_likelihood_of_the_classes_shares(tmp_path: Path) -> None:
    wanted = RNG.choice(3, (40, 9), p=(0.2, 0.7, 0.1))
    wanted[::3, 6:] = -1
    inputs = RNG.normal(size=(40, 9, 2))
    steps = task(SequenceLabelling, inputs, wanted, folder=tmp_path, judged_by="nll")
    samples = task(SequenceClassification, inputs, wanted[:, 0], folder=tmp_path)
    masks = task(Segmentation, inputs[:, None], np.abs(wanted)[:, :, None].repeat(2, 2), folder=tmp_path)
    for made, score in ((steps, "nll"), (samples, "loss"), (masks, "loss")):
        data, told = made.data(), made.naive()
        assert told is not None
        train, found = (part[part >= 0] for part in (data.train.targets, data.validation.targets))
        share = (np.bincount(train, minlength=3) + 0.5) / (train.size + 1.5)
        assert told[1][score] == pytest.approx(-np.log(share)[found].mean(), rel=1e-5)


def test_a_class_that_only_later_parts_of_a_sequence_have_is_counted_too(tmp_path: Path) -> None:
    wanted = np.zeros((40, 9), np.int64)
    wanted[:, 1], wanted[7, 4] = 1, 2
    for seed in range(8):
        made = task(SequenceLabelling, np.zeros((40, 9, 1)), wanted, folder=tmp_path, split_seed=seed)
        told = made.naive()
        assert told is not None
        assert told[1]["step_accuracy"] > 0.8
