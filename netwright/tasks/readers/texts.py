"""Reading texts: words, or signs, become numbers by a vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

PADDING, UNKNOWN, FIRST = 0, 1, 2
"""The number of what fills a short text up, of a word that the vocabulary lacks, and of its first word."""


def tokens(text: str, unit: str) -> list[str]:
    """The words of a text in lower case, or with the unit `characters` its signs as they are.

    A word is letters, their marks, digits, underscores and apostrophes in a row; every other sign but blanks is a
    word of its own.
    """
    import re
    import unicodedata

    if unit == "characters":
        return list(text.strip())
    text = text.lower()
    # a vowel sign of Hindi or Thai belongs to its word, though a regular expression takes it for no part of one
    shape = text if text.isascii() else "".join("a" if unicodedata.category(s)[0] == "M" else s for s in text)
    return [text[slice(*found.span())] for found in re.finditer(r"[\w'’]+|[^\w\s]", shape)]


def read(inputs: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """Texts [N] as the numbers of their first tokens, [N, length, 1] in float32; short ones are filled up in front.

    Numbers are given out as they are.
    """
    if inputs.dtype.kind not in "USO":
        return inputs
    if inputs.ndim != 1:
        raise ValueError(f"texts must be a list [N], even of one, not of shape {list(inputs.shape)}")
    length, unit = settings["length"], settings["unit"]
    number = {token: place for place, token in enumerate(settings["vocabulary"], FIRST)}
    found = np.full((len(inputs), length, 1), PADDING, np.float32)
    for row, text in zip(found, inputs.astype(str).tolist(), strict=True):
        known = [number.get(token, UNKNOWN) for token in tokens(text, unit)[:length]]
        row[length - len(known) :, 0] = known
    return found
