"""The machine a measurement was made on: CPU, instruction set and load. A latency means nothing without it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

NOTABLE = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "amx_int8",
    "asimd",
    "asimddp",
    "i8mm",
    "sve",
)
"""The instruction-set flags that decide how fast and how exactly neural networks run on a CPU."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A CPU as its operating system describes it; `isa` holds the flags of NOTABLE that it has."""

    cpu: str
    architecture: str
    cpus: int
    isa: tuple[str, ...]

    @property
    def int8_products_saturate(self) -> bool:
        """Whether full-range 8-bit products can overflow their 16-bit sums (x86 without VNNI or AMX)."""
        exact = {"avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm"}
        return not exact.intersection(self.isa)


@cache
def this_machine() -> Machine:
    """The machine this process runs on."""
    described = dict(_described())
    flags = set(described.get("flags", "").lower().split())
    if platform.machine().lower() in {"arm64", "aarch64"}:
        flags.add("asimd")
    return Machine(
        cpu=described.get("model", "") or platform.processor() or platform.machine(),
        architecture=platform.machine(),
        cpus=os.cpu_count() or 1,
        isa=tuple(name for name in NOTABLE if name in flags),
    )


def load_average() -> float | None:
    """Runnable processes averaged over the last minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _described() -> Iterator[tuple[str, str]]:
    """Pairs ("model", text) and ("flags", text), as far as the operating system gives them."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in {"model name", "Hardware"}:
                yield "model", value.strip()
            if key.strip() in {"flags", "Features"}:
                yield "flags", value.strip()
    elif sys.platform == "darwin":
        yield "model", _sysctl("machdep.cpu.brand_string")
        yield "flags", _sysctl("machdep.cpu.leaf7_features") + " " + _sysctl("machdep.cpu.features")


def _sysctl(name: str) -> str:
    answer = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False, timeout=10)
    return answer.stdout.strip()
