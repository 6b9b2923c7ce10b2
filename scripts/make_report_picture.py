"""Make docs/images/report.png: the first screen of a run's report, as headless Chromium shows it.

python scripts/make_report_picture.py RUN [--out docs/images/report.png] [--full]
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "images" / "report.png")
    parser.add_argument("--full", action="store_true", help="the whole page instead of its first screens")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_context(viewport={"width": 1280, "height": 1000}, offline=True).new_page()
        page.goto((options.run / "report.html").resolve().as_uri())
        page.wait_for_selector(".main-svg", timeout=60_000)
        page.wait_for_timeout(4000)
        page.screenshot(path=options.out, full_page=options.full)
        browser.close()
    print(options.out)


if __name__ == "__main__":
    main()
