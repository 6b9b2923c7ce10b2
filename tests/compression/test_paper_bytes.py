"""The paper's way of counting in the benchmark: weights, distances of 5 bits, codebooks, Huffman codes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from compressing._lenet import huffman_bits, paper_bits


@pytest.mark.parametrize(
    ("counts", "bits"), [([5], 5), ([1, 1], 2), ([1, 1, 2], 6), ([4, 2, 1, 1], 14), ([3, 0, 0], 3)]
)
def test_the_length_of_a_huffman_code(counts: list[int], bits: int) -> None:
    assert huffman_bits(counts) == bits


def test_a_dense_weight_counts_as_it_is() -> None:
    assert paper_bits(np.arange(1, 101, dtype=np.float32), coded=False) == 3200


def test_a_pruned_weight_counts_values_and_distances() -> None:
    weight = np.zeros(1000, np.float32)
    weight[:600:2] = np.random.default_rng(0).standard_normal(300) + 9
    assert paper_bits(weight, coded=False) == 300 * (32 + 5)


def test_long_distances_are_bridged_by_zeros() -> None:
    weight = np.zeros(400, np.float32)
    weight[:300] = np.random.default_rng(0).standard_normal(300) + 9
    far = weight.copy()
    far[299], far[399] = 0, 1.5
    assert paper_bits(far, coded=False) - paper_bits(weight, coded=False) == 3 * (32 + 5)


def test_a_shared_weight_counts_indices_and_its_codebook() -> None:
    weight = np.zeros(64, np.float32)
    weight[[0, 1, 2, 3]] = [0.5, -0.5, 0.25, 0.5]
    assert paper_bits(weight, coded=False) == 4 * (2 + 5) + 3 * 32
    assert paper_bits(weight, coded=True) == huffman_bits([2, 1, 1]) + huffman_bits([4]) + 3 * 32
