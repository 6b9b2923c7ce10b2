"""Folders and files as people have them: other spellings, system files, colours, labels that do not count from 0."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray
from netwright.tasks.image_folder import read_folder
from netwright.tasks.kinds.image_classification import ImageClassification
from netwright.tasks.kinds.segmentation import Segmentation
from netwright.tasks.kinds.text_classification import TextClassification

PICTURES = np.random.default_rng(0).integers(0, 255, (8, 6, 6, 3), dtype=np.uint8)
MASKS = np.arange(8 * 36).reshape(8, 6, 6) % 3
PALETTE = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)


def images(folder: Path, count: int = 6) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(PICTURES[number]).save(folder / f"{number}.png")


@pytest.mark.parametrize("names", [("Train", "Val", "Test"), ("training_set", "dev", "testing")])
def test_parts_are_found_by_other_spellings_too(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        for label in ("cat", "dog"):
            images(tmp_path / name / label)
    data = ImageClassification(path=tmp_path).data()
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.validation), len(data.test)) == (12, 12, 12)


def test_files_of_the_system_are_passed_over(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        images(tmp_path / label)
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "cat" / "._0.png").write_bytes(b"no image")
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"no image")
    assert len(ImageClassification(path=tmp_path).load().train[0]) == 12


def test_images_are_read_as_they_are_seen(tmp_path: Path) -> None:
    for name in "ab":
        images(tmp_path / name)
    lying = np.zeros((4, 6, 3), np.uint8)
    lying[:2] = 200  # the upper half is bright
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright: the bright half is on the right
    Image.fromarray(lying).save(tmp_path / "a" / "0.png", exif=turned)
    seen = np.full((6, 4, 3), 77, np.uint8)
    for number in range(1, 6):
        (tmp_path / "a" / f"{number}.png").unlink()
        (tmp_path / "b" / f"{number}.png").unlink()
    Image.fromarray(np.dstack([seen, np.repeat([0, 255], [12, 12]).reshape(6, 4)]).astype(np.uint8)).save(
        tmp_path / "b" / "0.png"
    )
    first, second = read_folder(tmp_path).train[0]
    assert first.shape == (3, 6, 4)
    assert np.unique(first[:, :, 2:]).tolist() == [200]
    assert np.unique(first[:, :, :2]).tolist() == [0]
    assert second[0].tolist() == [[255] * 4] * 3 + [[77] * 4] * 3


def test_a_folder_around_the_classes_is_named(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        images(tmp_path / "photos" / label)
    with pytest.raises(DataError, match=r"holds one folder alone, and that others; give .*photos as `path`"):
        ImageClassification(path=tmp_path).data()


def test_images_that_memory_cannot_hold_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for label in ("cat", "dog"):
        images(tmp_path / label)
    monkeypatch.setattr("netwright.tasks.image_folder.BYTES_AT_MOST", 12 * 36 * 3 - 1)
    with pytest.raises(DataError, match=r"12 images of 6x6 pixels take 0 GiB; set `size: .* to resize them all"):
        ImageClassification(path=tmp_path).data()


@pytest.mark.parametrize(("labels", "names"), [((1, 2), ("1", "2")), ((-1, 1), ("-1", "1")), ((3, 70), ("3", "70"))])
def test_labels_that_do_not_count_from_0_become_names(
    tmp_path: Path, labels: tuple[int, int], names: tuple[str, str]
) -> None:
    targets = np.array(labels * 10)
    np.savez(tmp_path / "a.npz", arr_0=np.zeros((20, 4, 4), np.uint8), arr_1=targets)
    data = ImageClassification(path=tmp_path / "a.npz").data()
    assert data.classes == names
    assert set(data.train.targets.tolist()) == {0, 1}


def masks(folder: Path, stored: AnyArray, *, name: str = "masks", ending: str = "") -> Segmentation:
    images(folder / "images", 8)
    (folder / name).mkdir()
    for number, mask in enumerate(stored):
        Image.fromarray(mask).save(folder / name / f"{number}{ending}.png")
    return Segmentation(path=folder)


def test_coloured_masks_need_the_list_that_is_told(tmp_path: Path) -> None:
    plain = masks(tmp_path / "plain", MASKS.astype(np.uint8))
    colours = masks(tmp_path / "colours", PALETTE[MASKS])
    wanted = r"hold 0, \[0, 0, 255\], \[255, 0, 0\]; .*`mask_values: \[0, \[0, 0, 255\], \[255, 0, 0\]\]`"
    with pytest.raises(DataError, match=wanted):
        colours.data()
    named = Segmentation.parse({"path": tmp_path / "colours", "mask_values": PALETTE.tolist()})
    assert np.array_equal(named.load().train[1], plain.load().train[1])
    with pytest.raises(DataError, match=r"value \[0, 0, 255\], which is not among the mask_values \[\[0, 0, 0\]"):
        Segmentation.parse({"path": tmp_path / "colours", "mask_values": PALETTE[:2].tolist()}).data()


def test_masks_of_three_equal_channels_and_other_names(tmp_path: Path) -> None:
    plain = masks(tmp_path / "plain", MASKS.astype(np.uint8)).load().train[1]
    grey = np.repeat(MASKS[..., None], 3, axis=3).astype(np.uint8)
    assert np.array_equal(masks(tmp_path / "grey", grey, name="labels", ending="_mask").load().train[1], plain)
    with pytest.raises(DataError, match=r"hold 0, 127, 254; .*`mask_values: \[0, 127, 254\]`"):
        masks(tmp_path / "far", (127 * MASKS).astype(np.uint8)).data()


def test_texts_may_be_lines_of_json(tmp_path: Path) -> None:
    rows = [{"text": f"a {'good' if n % 2 else 'bad'} film", "label": n % 2} for n in range(20)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    found = [TextClassification(path=tmp_path / name).data() for name in ("a.jsonl", "a.json")]
    assert [data.classes for data in found] == [("0", "1")] * 2
    assert len({data.fingerprint for data in found}) == 1
