"""Compression on real data and weights; `python benchmarks/compression.py --help` tells how.

Python 3.14 has a package of this file's name, which scripts in this folder would not find: they, too, are given it.
"""

import sys

if __name__ == "__main__":
    from compressing._command import main

    main()
elif __name__ == "compression":
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec
    from pathlib import Path

    folder = Path(__file__).resolve().parent
    found = PathFinder.find_spec(__name__, [path for path in sys.path if Path(path).resolve() != folder])
    if found is None or found.loader is None:
        raise ModuleNotFoundError(f"No module named {__name__!r}", name=__name__)
    sys.modules[__name__] = module_from_spec(found)
    found.loader.exec_module(sys.modules[__name__])
