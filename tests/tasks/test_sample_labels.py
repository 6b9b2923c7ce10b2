"""Several labels of a sample, some of them not known: molecules by a table, loss and area under the ROC curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from netwright.core.errors import DataError
from netwright.tasks.answers.tags import answers, scores
from netwright.tasks.data import Split
from netwright.tasks.kinds.graphs import Graphs
from netwright.tasks.tag_targets import SampleLabels

SMILES = ("CCO", "c1ccccc1", "CC(=O)O", "CCN")


def test_the_area_is_the_share_of_pairs_in_order_and_what_is_unknown_does_not_count() -> None:
    targets = np.array([[1, 0], [0, -1], [1, 1], [0, 1], [-1, 0]])
    outputs = np.array([[2.0, -1.0], [1.0, 9.0], [1.0, -1.0], [-3.0, 4.0], [50.0, 3.0]], np.float32)
    found = scores(outputs, targets, {})
    first, second = (1 + 1 + 0.5 + 1) / 4, (0.5 + 0 + 1 + 1) / 4  # pairs of one with and one without the label
    assert found["roc_auc"] == pytest.approx((first + second) / 2)
    known = targets >= 0
    logits, wanted = torch.tensor(outputs)[known], torch.tensor(targets)[known].float()
    by_torch = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
    assert found["loss"] == pytest.approx(float(by_torch))
    assert float(SampleLabels().loss(torch.tensor(outputs), torch.tensor(targets), {})) == pytest.approx(found["loss"])
    right = (answers(outputs, {}) == 1) & (targets == 1)
    assert found["label_f1"] == pytest.approx(2 * right.sum() / ((outputs > 0)[known].sum() + (targets == 1).sum()))


def test_equal_outputs_tell_nothing_and_a_label_of_one_kind_is_left_out() -> None:
    targets = np.array([[1, 1], [0, 1], [0, -1]])
    assert scores(np.zeros((3, 2), np.float32), targets, {})["roc_auc"] == 0.5
    assert scores(np.array([[1, 0], [0, 0], [0, 0]], np.float32), targets, {})["roc_auc"] == 1.0


def test_the_answer_without_a_network_is_each_labels_share() -> None:
    train = Split(np.zeros((4, 2), np.float32), np.array([[1, 0], [0, 1], [0, 1], [-1, 1]]))
    said, outputs = SampleLabels().naive(train, train, {}) or ("", np.zeros(0))
    assert "share" in said
    assert (1 / (1 + np.exp(-outputs[0]))).tolist() == pytest.approx([1.5 / 4, 3.5 / 5])


def molecules(folder: Path, *, second: str = "01") -> Graphs:
    pytest.importorskip("rdkit")
    rows = [f"{SMILES[n % 4]},{n % 2},{second[n // 2 % 2] if n % 5 else ''}" for n in range(40)]
    (folder / "tox.csv").write_text("\n".join(["smiles,ar,er", *rows]), encoding="utf-8")
    return Graphs(path=folder / "tox.csv", classes=True, columns=("ar", "er"))


def test_molecules_have_labels_of_which_empty_cells_are_not_known(tmp_path: Path) -> None:
    task = molecules(tmp_path)
    data = task.data()
    assert data.classes == ("ar", "er")
    assert task.shapes().output == 2
    assert task.primary().metric == "roc_auc"
    parts = np.concatenate([data.train.targets, data.validation.targets, data.test.read().targets])
    assert ((parts == -1).sum(axis=0).tolist(), (parts == 1).sum(axis=0).tolist()) == ([0, 8], [20, 16])


def test_labels_that_cannot_be_learnt_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="label 'er' is the same in all training samples where it is known"):
        molecules(tmp_path, second="00").data()
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="row 4, column 'er': '2' is neither 0 nor 1; give each label a column"):
        molecules(tmp_path / "other", second="02").data()
