"""Channels that a network takes in equal parts, as behind a chunk, a shuffle, a gated linear unit or a pixel shuffle.

All here are guesses, to be proven: nothing says into how many parts a network takes the channels of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import nn

from netwright.compression.coupling import Coupling

PARTS = (2, 3, 4)
"""Into how many parts a network is thought to take channels."""


def ties(count: int) -> list[list[int]]:
    """Which of so many channels may go together, as a number for each: those at one place of every part, or neighbours.

    >>> ties(6)
    [[0, 1, 2, 0, 1, 2], [0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1]]
    """
    parts = [many for many in PARTS if count % many == 0 and count > many]
    strided = [[channel % (count // many) for channel in range(count)] for many in parts]
    return strided + [[channel // many for channel in range(count)] for many in parts]


def otherwise(module: nn.Module, coupling: Coupling) -> Iterator[Coupling]:
    """A coupling of one slot as it may hold where it does not as it is.

    Every part loses as many, or the same ones; and numbers fall that the module around the layer has for the width of
    all or of a part, as for `x.split(self.width, 1)` or `x.view(-1, self.width)`.
    """
    if coupling.slots > 1:
        return
    guesses = [coupling]
    guesses += [replace(coupling, slots=n, size=coupling.size // n) for n in PARTS if coupling.size % n == 0]
    guesses += [_tied(coupling, labels) for labels in ties(coupling.size)]
    for guess in guesses:
        if guess.size > 1 and guess is not coupling:
            yield guess
        if guess.size > 1 and (numbers := _numbers(module, coupling, guess)):
            yield replace(guess, numbers=numbers)


def _tied(coupling: Coupling, labels: Sequence[int]) -> Coupling:
    members = tuple(replace(one, channels=tuple(labels[c] for c in one.channels)) for one in coupling.members)
    return replace(coupling, size=max(labels) + 1, members=members)


def _numbers(module: nn.Module, coupling: Coupling, guess: Coupling) -> tuple[tuple[str, int], ...]:
    """Numbers beside the layer that say its width or a part's, with how much they fall for a channel of a slot."""
    owner = coupling.name.rpartition(".")[0]
    falling = {coupling.size: coupling.size // guess.size, guess.size: 1}
    said = {name: one for name, one in vars(module.get_submodule(owner)).items() if type(one) is int}
    return tuple((f"{owner}.{name}".lstrip("."), falling[one]) for name, one in said.items() if one in falling)
