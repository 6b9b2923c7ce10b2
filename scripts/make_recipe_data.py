"""Make the data files that some recipes read.

    python scripts/make_recipe_data.py diabetes      data/diabetes.csv, from scikit-learn
    python scripts/make_recipe_data.py esol          data/esol.csv, from $NETWRIGHT_DATA/molecules/delaney_esol.csv
    python scripts/make_recipe_data.py fullduplex    data/fullduplex.npz, from $NETWRIGHT_DATA/fullduplex
    python scripts/make_recipe_data.py jsb           data/jsb.npz, from $NETWRIGHT_DATA/sequences/polymusic.npz
    python scripts/make_recipe_data.py t91           data/t91.npz, from $NETWRIGHT_DATA/superres/t91_set5.npz
    python scripts/make_recipe_data.py trec          data/trec.csv, from $NETWRIGHT_DATA/text/sst2_mr_trec.parquet

$NETWRIGHT_DATA is ../shared/data unless set. With --out FOLDER the files go elsewhere.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
PATCH = 48
SCALE = 3
PARTS = ("train", "validation", "test")
Bytes = npt.NDArray[np.uint8]


def source(name: str) -> Path:
    """A file in the folder of real data."""
    return Path(os.environ.get("NETWRIGHT_DATA", ROOT.parent / "shared" / "data")) / name


def diabetes(folder: Path) -> str:
    """442 patients: ten measurements and the progression of the disease after a year (Efron et al., 2004)."""
    from sklearn.datasets import load_diabetes

    frame = load_diabetes(as_frame=True, scaled=False).frame
    frame.to_csv(folder / "diabetes.csv", index=False)
    return f"diabetes.csv: {len(frame)} rows"


def esol(folder: Path, fold: int = 0) -> str:
    """The solubility of 1,124 molecules (Delaney, 2004) in five parts: one to validate on, the next for the test.

    Parts as in Duvenaud et al., arXiv:1509.09292.
    """
    import pandas

    frame = pandas.read_csv(source("molecules/delaney_esol.csv")).iloc[:1124]
    part = np.arange(len(frame)) * 5 // len(frame)
    names = {fold: "validation", (fold + 1) % 5: "test"}
    made = pandas.DataFrame(
        {
            "smiles": frame["smiles"].str.strip(),
            "log_solubility": frame["measured log solubility in mols per litre"],
            "part": [names.get(int(number), "train") for number in part],
        }
    )
    made.to_csv(folder / "esol.csv", index=False)
    test, train = (made.loc[made["part"] == name, "log_solubility"] for name in ("test", "train"))
    mean = float(np.sqrt(np.mean((test - train.mean()) ** 2)))
    return f"esol.csv: {made['part'].value_counts().to_dict()}; rmse of the mean on test {mean:.3f}"


def trec(folder: Path) -> str:
    """Questions and what kind of answer they ask for (Li and Roth, 2002): 5,452 to train on, 500 for the test."""
    import pandas

    frame = pandas.read_parquet(source("text/sst2_mr_trec.parquet"))
    frame = frame[frame["dataset"] == "trec"]
    names = ("description", "entity", "abbreviation", "person", "place", "number")
    kinds = [names[number] for number in frame["label"]]
    made = pandas.DataFrame({"text": frame["text"], "label": kinds, "part": frame["split"]})
    made.to_csv(folder / "trec.csv", index=False)
    return f"trec.csv: {made['part'].value_counts().to_dict()}"


def jsb(folder: Path) -> str:
    """Bach's chorales as rolls of 88 keys: from all steps so far, the keys of the next one.

    Filled up to one length; targets after the end are -1. Boulanger-Lewandowski et al., arXiv:1206.6392.
    """
    arrays: dict[str, npt.NDArray[np.int8]] = {}
    with np.load(source("sequences/polymusic.npz"), allow_pickle=False) as stored:
        lengths = {part: stored[f"jsb/{part}_lengths"] for part in ("train", "valid", "test")}
        longest = max(int(found.max()) for found in lengths.values()) - 1
        for part, found in lengths.items():
            rolls = np.unpackbits(stored[f"jsb/{part}_packed"], axis=1)[:, :88].astype(np.int8)
            x, y = np.zeros((len(found), longest, 88), np.int8), np.full((len(found), longest, 88), -1, np.int8)
            for number, roll in enumerate(np.split(rolls, np.cumsum(found)[:-1])):
                x[number, : len(roll) - 1], y[number, : len(roll) - 1] = roll[:-1], roll[1:]
            arrays |= {f"x_{part}": x, f"y_{part}": y}
    np.savez_compressed(folder / "jsb.npz", allow_pickle=False, **arrays)
    return f"jsb.npz: {', '.join(f'{len(found)} {part}' for part, found in lengths.items())} chorales"


def t91(folder: Path) -> str:
    """Patches of the luminance of 91 images, shrunk to a third and enlarged again by bicubic interpolation.

    The first 80 images are for training, the others for validation, Set5 for the test. Dong et al., arXiv:1501.00092.
    """
    with np.load(source("superres/t91_set5.npz"), allow_pickle=False) as stored:
        images = {name: _luminance(stored[f"{name}_webp"], stored[f"{name}_offsets"]) for name in ("t91", "set5")}
    parts = {"train": images["t91"][:80], "validation": images["t91"][80:], "test": images["set5"]}
    arrays: dict[str, Bytes] = {}
    said = []
    for part, found in parts.items():
        pairs = [pair for image in found for pair in _patches(image)]
        x, y = (np.stack(one) for one in zip(*pairs, strict=True))
        arrays |= {f"x_{part}": x, f"y_{part}": y}
        error = np.square(x.astype(np.float64) - y).mean(axis=(1, 2))
        said.append(f"{len(x)} {part} (bicubic {10 * np.log10(255**2 / np.maximum(error, 1e-5)).mean():.2f} dB)")
    np.savez_compressed(folder / "t91.npz", allow_pickle=False, **arrays)
    return f"t91.npz: patches of {PATCH}x{PATCH}: {', '.join(said)}"


def fullduplex(folder: Path) -> str:
    """A radio's own signal at its receiver, without what 13 linear taps cancel: complex values as pairs.

    Windows of the 13 samples sent last, [13, real and imaginary]; the last tenth in time is the test, as published
    (the sent signal leads by 7 samples), the tenth before it is for validation. Measured by Kurzo et al., 2018.
    """
    taps, lead = 13, 7
    with np.load(source("fullduplex/fd_testbed_20MHz_10dBm.npz"), allow_pickle=False) as stored:
        sent, heard = stored["tx"][:-lead], stored["rx_after_analog_canc"][lead:]
    heard = heard - heard.mean()
    windows = np.lib.stride_tricks.sliding_window_view(sent, taps)[1:]
    ends = [int(share * len(sent)) for share in (0.8, 0.9, 1)]
    parts = {part: slice(begin, end) for part, begin, end in zip(PARTS, [0, *ends], ends, strict=False)}
    train = slice(0, ends[1] - taps)
    linear = np.linalg.lstsq(windows[train], heard[taps:][train], rcond=None)[0]
    arrays: dict[str, npt.NDArray[np.float32]] = {}
    said = []
    for part, times in parts.items():
        x, y = windows[times.start : times.stop - taps], heard[times][taps:]
        left = y - x @ linear
        arrays |= {f"x_{part}": _pairs(x), f"y_{part}": _pairs(left)}
        ratio = np.mean(np.abs(y) ** 2) / np.mean(np.abs(left) ** 2)
        said.append(f"{len(x)} {part} (linear {10 * np.log10(ratio):.2f} dB)")
    np.savez_compressed(folder / "fullduplex.npz", allow_pickle=False, **arrays)
    return f"fullduplex.npz: windows: {', '.join(said)}"


def _pairs(values: npt.NDArray[np.complex128]) -> npt.NDArray[np.float32]:
    """Real and imaginary part along a new last axis."""
    return np.stack([values.real, values.imag], axis=-1).astype(np.float32)


def _luminance(packed: Bytes, offsets: npt.NDArray[np.int64]) -> list[Bytes]:
    from PIL import Image

    pieces = [packed[start:end].tobytes() for start, end in itertools.pairwise(offsets)]
    return [np.asarray(Image.open(io.BytesIO(piece)).convert("YCbCr"))[..., 0] for piece in pieces]


def _patches(image: Bytes) -> list[tuple[Bytes, Bytes]]:
    """Pairs of a blurred and a sharp patch, side by side."""
    from PIL import Image

    height, width = (size // SCALE * SCALE for size in image.shape)
    sharp = Image.fromarray(image[:height, :width])
    small = sharp.resize((width // SCALE, height // SCALE), Image.Resampling.BICUBIC)
    blurred, clear = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)), np.asarray(sharp)
    corners = [(y, x) for y in range(0, height - PATCH + 1, PATCH) for x in range(0, width - PATCH + 1, PATCH)]
    return [(blurred[y : y + PATCH, x : x + PATCH], clear[y : y + PATCH, x : x + PATCH]) for y, x in corners]


MAKERS = {"diabetes": diabetes, "esol": esol, "fullduplex": fullduplex, "jsb": jsb, "t91": t91, "trec": trec}


def main() -> None:
    """The command line described above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=MAKERS)
    parser.add_argument("--out", type=Path, default=Path("data"), help="the folder to write to; default: data")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    print(MAKERS[chosen.name](chosen.out))


if __name__ == "__main__":
    main()
