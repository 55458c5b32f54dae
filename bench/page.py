"""The web page and the command line with 10,000 VMs: what a person waits for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import paper
from bench.stats import Row, ms, percentile, timed
from cli.fleet.fleet import Fleet
from tests.clients.browser import WIDE, Page, start

MANY = 10_000
_TIMES = 30
# Runs in the page: does something so many times, and tells how long each took until the next frame was painted.
_TIMED = """
const done = arguments[arguments.length - 1];
const painted = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
const act = new Function("n", arguments[0]);
(async () => {
  const taken = [];
  for (let n = 0; n < arguments[1]; n += 1) {
    const began = performance.now();
    act(n);
    await painted();
    taken.push((performance.now() - began) / 1000);
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
  done(taken);
})();
"""
_INTERACTIONS = {
    "filter": (
        "const field = document.querySelector('input[type=search]');"
        "field.value = ['', 'p', 'pa', 'paper-0', 'paper-012', 'stopped', 'nothing'][n % 7];"
        "field.dispatchEvent(new Event('input', { bubbles: true }));"
    ),
    "sort": "document.querySelectorAll('th button.sort')[n % 8].click();",
    "scroll": "document.querySelector('.rows').scrollTop = (n * 7919 * 37) % 370000;",
    "choose all": "document.querySelector('thead input[type=checkbox]').click();",
}


def all_of(fleet: Fleet) -> Iterator[Row]:
    """A row for each figure."""
    paper.add_vms(fleet.database_url, MANY)
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as folder:
        driver = start(Path(folder))
        try:
            yield from _of_page(Page(driver), fleet)
        finally:
            driver.quit()
        yield from _of_command_line(fleet, Path(folder))


def _of_page(page: Page, fleet: Fleet) -> Iterator[Row]:
    page.shows(WIDE, "light")
    loads = []
    for _ in range(3):
        page.open(fleet)
        began = time.perf_counter()
        page.log_in(fleet.credentials.username, fleet.credentials.password)
        page.sees(str(MANY), "h1 small")
        loads.append(time.perf_counter() - began)
    yield Row("page, from login to 10,000 VMs", f"{min(loads):.2f} to {max(loads):.2f} s", "≤ 3 s", max(loads) <= 3)
    for what, script in _INTERACTIONS.items():
        taken = page.driver.execute_async_script(_TIMED, script, _TIMES)
        half, most = percentile(taken, 0.5), percentile(taken, 0.95)
        yield Row(f"page, {what}", f"p50 {ms(half)}, p95 {ms(most)}", "p95 ≤ 100 ms", most <= 0.1)
    used = page.driver.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"] / 1e6
    yield Row("page, memory of its scripts", f"{used:.0f} MB", "≤ 100 MB", used <= 100)


def _of_command_line(fleet: Fleet, folder: Path) -> Iterator[Row]:
    access = {"CORRAL_URL": fleet.url, "CORRAL_TOKEN": fleet.credentials.api_key}
    environment = os.environ | access | {"CORRAL_CONFIG": str(folder / "config.json")}

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "cli.main", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    help_ = percentile(timed(lambda: run("--help"), 10), 0.5)
    yield Row("corral --help", ms(help_), "≤ 200 ms", help_ <= 0.2)
    listed = percentile(timed(lambda: run("vm", "list"), 3), 0.5)
    whole = len(json.loads(run("vm", "list", "--output", "json"))) == MANY
    yield Row("corral vm list, 10,000 VMs", ms(listed), "all, ≤ 5 s", whole and listed <= 5)
