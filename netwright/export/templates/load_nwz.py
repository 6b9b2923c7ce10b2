# ruff: noqa: T201
"""Runs model.FILE; needs only onnxruntime and numpy.

python load_nwz.py                          what is in the archive
python load_nwz.py inputs.npy outputs.npy   a float32 batch [N, ...], preprocessed as preprocessing.json says if there
python load_nwz.py model.onnx               writes the ONNX file that is in the archive, bit for bit
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

from netwright.export.coding.decoder import decode

ARCHIVE = Path(__file__).resolve().parent / "model.FILE"


def opened(archive: Path = ARCHIVE, threads: int = 1) -> ort.InferenceSession:
    """The network in an archive, ready to run."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    model = decode(archive.read_bytes())
    if b'"\x10DequantizeLinear' in model and b'"\x0eQuantizeLinear' not in model:
        # weights are integers and nothing else is: else the runtime makes them float again in every call
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def outputs(inputs: np.ndarray, archive: Path = ARCHIVE) -> np.ndarray:
    """The network's outputs [N, ...] for preprocessed inputs [N, ...]."""
    found: np.ndarray = opened(archive).run(["output"], {"input": np.asarray(inputs, np.float32)})[0]
    return found


if __name__ == "__main__":
    try:
        content = decode(ARCHIVE.read_bytes())
        if len(sys.argv) == 3:
            np.save(sys.argv[2], outputs(np.load(sys.argv[1])))
        elif len(sys.argv) == 2:
            if not sys.argv[1].endswith(".onnx"):
                sys.exit(f"{sys.argv[1]}: name the file to write, ending in .onnx; nothing was written")
            Path(sys.argv[1]).write_bytes(content)
        else:
            print(f"{ARCHIVE.name}: {ARCHIVE.stat().st_size:,} bytes, ONNX file of {len(content):,}; SHA-256 checked")
    except (OSError, ValueError) as error:
        sys.exit(f"{ARCHIVE.name}: {error}")
