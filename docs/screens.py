"""Draw the pictures of the page for the screen from a real drive: python docs/screens.py (takes Chromium)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from edge_alpr import drive
from edge_alpr.bench.paced import paced
from edge_alpr.camera import open_source
from edge_alpr.config import load_config

DOCS = Path(__file__).resolve().parent
LIST = "# name: Stolen cars\n# priority: 5\nplate,note\nOU374KX,grey estate car\n"
"""Has nearly a plate of the sample drive: DU374KX."""


def main() -> None:
    """docs/screen-*.png"""
    with tempfile.TemporaryDirectory() as name:
        config = Path(name) / "car.toml"
        config.write_text(f'[store]\npath = "{name}/store"\n[display]\nruntime = "{name}/run"\n')
        (Path(name) / "store" / "hotlists").mkdir(parents=True)
        (Path(name) / "store" / "hotlists" / "stolen.csv").write_text(LIST)
        player = drive.Drive(
            load_config(config),
            drive.Screen(),
            drive.Probe(source=lambda wanted: paced(lambda: open_source(wanted), "live", False)),
        )
        with served(config) as address, sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            day, night = opened(browser, address, "day", (1280, 720)), opened(browser, address, "night", (800, 480))
            day.screenshot(path=DOCS / "screen-failure.png")
            playing = threading.Thread(target=player.run)
            playing.start()
            night.wait_for_selector(".card.confirmed .crop img", timeout=60_000)
            night.wait_for_timeout(600)
            night.screenshot(path=DOCS / "screen-hit.png")
            day.screenshot(path=DOCS / "screen-hit-wide.png")
            night.get_by_role("button", name="Seen").click()
            day.wait_for_timeout(2500)
            day.screenshot(path=DOCS / "screen-day.png")
            night.wait_for_timeout(7000)
            playing.join()
            browser.close()


def opened(browser: Any, address: str, theme: str, size: tuple[int, int]) -> Page:
    """The page in one of its themes."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    context.add_init_script(f'localStorage.setItem("theme", "{theme}")')
    page: Page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#failure:not([hidden])")
    return page


@contextmanager
def served(config: Path) -> Iterator[str]:
    """The address of the page."""
    command = [sys.executable, "-m", "edge_alpr.cli", "display", "--config", str(config), "--port", "0"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert child.stdout is not None
    try:
        yield child.stdout.readline().strip()
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(30)


if __name__ == "__main__":
    main()
