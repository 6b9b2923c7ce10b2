"""How far int8 files are from their float files on a CPU without VNNI: the rows of int8-error on an emulated Haswell.

Networks are trained and exported here; quantized files are made and run by a process under QEMU's user emulation
(`apt-get install qemu-user`), which computes every instruction of that CPU exactly and tells its flags. Nothing is
timed there.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from compressing import int8_error

MODEL = "Haswell"
FLAGS = "fpu sse sse2 ssse3 sse4_1 sse4_2 fma avx f16c avx2 bmi1 bmi2"
CPUINFO = Path("/proc/cpuinfo")


def measure(folder: Path) -> list[dict[str, Any]]:
    """One row per network, or one that says what is missing."""
    emulator = shutil.which("qemu-x86_64")
    if emulator is None or not CPUINFO.is_file():
        return [{"name": MODEL, "skipped": "this needs Linux and qemu-x86_64 (package qemu-user)"}]
    int8_error.train(folder)
    described = folder / "root" / CPUINFO.relative_to("/")
    described.parent.mkdir(parents=True, exist_ok=True)
    told = re.sub(r"(?m)^flags.*", f"flags\t\t: {FLAGS}", CPUINFO.read_text())
    described.write_text(re.sub(r"(?m)^model name.*", f"model name\t: {MODEL} (emulated)", told))
    command = [emulator, "-cpu", MODEL, "-L", str(folder / "root"), sys.executable, "-m", __name__, str(folder)]
    return [_emulated([*command, name]) for name in int8_error.NETWORKS]


def _emulated(command: list[str]) -> dict[str, Any]:
    ended = subprocess.run(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(ended.stdout.splitlines()[-1]))


if __name__ == "__main__":
    print(json.dumps(int8_error.errors(Path(sys.argv[1]), sys.argv[2])))
