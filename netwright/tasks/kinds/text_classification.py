"""The task of classifying texts of one's own, from a table or an .npz file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from pydantic import Field

from netwright.core.errors import DataError
from netwright.core.shapes import Shapes
from netwright.tasks.data import AnyArray, Arrays, Preprocessing, Split
from netwright.tasks.npz_file import read_arrays
from netwright.tasks.paths import DataPath
from netwright.tasks.readers import texts as reader
from netwright.tasks.stored import LabelledRows

LONGEST = 256
WORTH_TELLING = 0.01
MANY_UNKNOWN = 0.25


class TextClassification(LabelledRows):
    """Classify texts from a .csv, .tsv or .parquet table, or an .npz file; put an `embedding` under the space.

    A word is letters, digits and apostrophes in a row, in lower case; every other sign is a word of its own. Words of
    the training texts alone make the vocabulary, which goes into the bundle; networks get the numbers of a text's
    first `length` words, filled up in front with 0, and 1 for a word that is not in the vocabulary. An .npz file holds
    `x_train` and `y_train` (and `x_test` and `y_test`), or `inputs` and `targets`, the texts written with dtype=str.
    """

    path: DataPath = Field(description=".csv, .tsv, .parquet or .jsonl table with named columns, or .npz file of texts")
    text: str = Field(default="text", description="name of the table's column of texts")
    unit: Literal["words", "characters"] = Field(default="words", description="what a text is cut into")
    vocabulary: int = Field(default=20000, ge=1, description="most words known, the most frequent ones")
    least: int = Field(default=2, ge=1, description="how often a word must be in the training texts to be known")
    length: int | None = Field(
        default=None, ge=1, description=f"words read of a text; default: the longest training text's, at most {LONGEST}"
    )

    @classmethod
    def example_settings(cls, folder: Path) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        good, bad, other = ("fine", "lovely", "great"), ("dull", "weak", "poor"), ("film", "plot", "it's", "a", ",")
        lines = ["text,label"]
        for place in range(60):
            words = [*rng.choice(other, 3 + place % 4), *rng.choice(bad if place % 2 else good, 2)]
            lines.append(f'"{" ".join(map(str, rng.permutation(words)))}. {place}",{"bad" if place % 2 else "good"}')
        path = folder / "texts.csv"
        path.write_text("\n".join(lines), encoding="utf-8")
        return {"path": str(path), "least": 1}

    def reader(self) -> ModuleType:
        return reader

    def preprocess(self, inputs: AnyArray) -> Preprocessing:
        return Preprocessing(scale=1.0, mean=(0.0,), std=(1.0,), axis=2)

    def shapes(self) -> Shapes:
        return replace(super().shapes(), tokens=reader.FIRST + len(self.data().reading["vocabulary"]))

    def remarks(self) -> tuple[str, ...]:
        data, said = self.data(), [*super().remarks()]
        length = data.train.inputs.shape[1]
        full = float((data.train.inputs[:, 0] != reader.PADDING).mean())
        if full > WORTH_TELLING and (self.length or length == LONGEST):
            said.append(
                f"{100 * full:.0f} % of the training texts have {length} {self.unit} or more, of which the first "
                f"{length} are read; set `length` for more"
            )
        there = data.validation.inputs[data.validation.inputs != reader.PADDING]
        unknown = float((there == reader.UNKNOWN).mean()) if len(there) else 0.0
        if unknown > MANY_UNKNOWN:
            said.append(
                f"{100 * unknown:.0f} % of the {self.unit} in the validation texts are not known; where blanks do not "
                "part words, set `unit: characters`, else a smaller `least`"
            )
        return tuple(said)

    def load(self) -> Arrays:
        if npz := self.path.suffix.lower() == ".npz":
            self.check_no_columns()
        stored = self.numbered(read_arrays(self.path) if npz else self.rows("text"))
        given = {name: self._checked(*pair, part=name) for name, pair in stored.parts().items()}
        names = self.targets().names(given, stored.classes, self.where())
        splits = self.split_off(given, names=names, groups=stored.groups)
        reading = self._reading(splits["train"].inputs)
        parts = {name: (reader.read(one.inputs, reading), one.targets) for name, one in splits.items()}
        return Arrays.of(parts, classes=stored.classes, reading=reading)

    def _checked(self, inputs: AnyArray, targets: AnyArray, *, part: str) -> Split:
        where = f"{self.path}: the {part} part"
        if inputs.ndim != 1 or inputs.dtype.kind not in "US":
            raise DataError(
                f"{where} has inputs of the type {inputs.dtype} and shape {inputs.shape}; give texts [N], written as "
                "numpy.array(texts, dtype=str)"
            )
        if len(inputs) != len(targets):
            raise DataError(f"{where} has {len(inputs)} texts and {len(targets)} targets; give one class per text")
        return Split(inputs.astype(str), self.targets().checked(targets, inputs, where))

    def _reading(self, training: AnyArray) -> Mapping[str, Any]:
        """The vocabulary of the training texts, the most frequent word first, and how texts are read by it."""
        found = [reader.tokens(text, self.unit) for text in training.tolist()]
        counts = Counter(token for tokens in found for token in tokens)
        often = sorted((token for token in counts if counts[token] >= self.least), key=lambda t: (-counts[t], t))
        if not often:
            raise DataError(
                f"{self.path}: no word is {self.least} times or more in the training texts; lower `least`, or check "
                "which column holds the texts"
            )
        longest = min(max(len(tokens) for tokens in found), LONGEST)
        return {
            "raw": "texts",
            "unit": self.unit,
            "length": self.length or longest,
            "vocabulary": often[: self.vocabulary],
        }
