"""A benchmark's file has the name of a package of Python 3.14, and hides it from nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_the_package_that_a_benchmark_shares_its_name_with_is_found_beside_it(tmp_path: Path) -> None:
    package = tmp_path / "compression"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "_common.py").write_text("streams = 7")
    program = tmp_path / "program.py"
    program.write_text("from compression._common import streams\nprint(streams)")
    # the folder of a script comes first on the path, and here that of the benchmarks has to
    path = os.pathsep.join([str(ROOT / "benchmarks"), str(tmp_path)])
    own = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    told = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, env=own, check=True)
    assert told.stdout == "7\n"


def test_the_benchmark_tells_its_options() -> None:
    script = ROOT / "benchmarks" / "compression.py"
    told = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, check=True)
    assert "--only" in told.stdout
    assert "lenet-300-100" in told.stdout
