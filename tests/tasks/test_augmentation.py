"""Random changes of a batch move and mirror samples, and do nothing else."""

from __future__ import annotations

import torch

from netwright.tasks.augmentation import flipped, shifted


def test_shifted_images_are_moved_copies_with_zeros_coming_in() -> None:
    images = torch.arange(1, 61, dtype=torch.uint8).reshape(1, 3, 4, 5).repeat(400, 1, 1, 1)
    moved = shifted(images, 2, torch.Generator().manual_seed(0))
    assert moved.shape == images.shape
    assert moved.dtype == torch.uint8
    padded = torch.nn.functional.pad(images[0], (2, 2, 2, 2))
    possible = {padded[:, y : y + 4, x : x + 5].contiguous().numpy().tobytes() for y in range(5) for x in range(5)}
    assert {image.contiguous().numpy().tobytes() for image in moved} == possible


def test_shifted_sequences_repeat_their_ends() -> None:
    series = torch.arange(6.0).reshape(1, 6, 1).repeat(100, 1, 1)
    moved = {tuple(row.flatten().tolist()) for row in shifted(series, 1, torch.Generator().manual_seed(0))}
    assert moved == {(0, 1, 2, 3, 4, 5), (0, 0, 1, 2, 3, 4), (1, 2, 3, 4, 5, 5)}


def test_about_half_of_the_images_are_mirrored() -> None:
    images = torch.arange(6.0).reshape(1, 1, 2, 3).repeat(400, 1, 1, 1)
    done = flipped(images, torch.Generator().manual_seed(0))
    mirrored = sum(torch.equal(image, images[0].flip(-1)) for image in done)
    kept = sum(torch.equal(image, images[0]) for image in done)
    assert mirrored + kept == 400
    assert 150 < mirrored < 250
