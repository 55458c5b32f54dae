"""What the tests themselves rest on: where a test belongs, which skips are foreseen, what runs beside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import logs, skips, tiers

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"


def run(folder: Path, tests: str, *options: str) -> subprocess.CompletedProcess[str]:
    """pytest on one small file, with this suite's plugins."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(tests)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--rootdir={folder}", *options, str(folder)],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_every_folder_of_tests_is_known_and_is_there() -> None:
    for place in tiers.FOLDERS.keys() | tiers.APART:
        assert (TESTS / place).exists(), place


def test_each_test_has_one_tier_and_the_group_tells_it(request: pytest.FixtureRequest) -> None:
    for item in request.session.items:
        marked = {mark.name for mark in item.iter_markers()} & set(tiers.MARKERS)
        assert marked == {tiers.tier(item)}
        assert tiers.group(item).startswith(tiers.tier(item))


@pytest.mark.parametrize(("options", "closing"), [((), "1 skipped"), (("--strict-skips",), "1 failed")])
def test_a_skip_that_nobody_foresaw_fails_where_that_is_asked(
    tmp_path: Path, options: tuple[str, ...], closing: str
) -> None:
    done = run(
        tmp_path, "import pytest\ndef test_it():\n    pytest.skip('no luck')\n", "-ptests.support.skips", *options
    )
    assert closing in done.stdout.splitlines()[-1], done.stdout


def test_foreseen_is_a_test_and_a_reason() -> None:
    reason = "the driver 'fake' does not promise 'forwards'"
    assert skips.foreseen("tests/contract/test_x.py::test_it[fake]", reason)
    assert not skips.foreseen("tests/qemu/test_x.py::test_it", reason)
    assert not skips.foreseen("tests/contract/test_x.py::test_it[fake]", "needs root")


@pytest.mark.parametrize(
    ("command", "closing"), [("echo all well", "2 passed"), ("echo oh dear; false", "1 failed, 1 passed")]
)
def test_what_runs_beside_counts_and_the_closing_line_is_last(tmp_path: Path, command: str, closing: str) -> None:
    done = run(tmp_path, "def test_it():\n    pass\n", "-ptests.support.beside", "--beside", command)
    assert (done.returncode == 0) == ("failed" not in closing)
    assert closing in done.stdout.splitlines()[-1], done.stdout
    assert command.split(";", maxsplit=1)[0].removeprefix("echo ") in done.stdout


def test_an_order_is_random_and_the_same_again(tmp_path: Path) -> None:
    tests = "import pytest\n@pytest.mark.parametrize('n', range(30))\ndef test_it(n):\n    print(f'<{n}>')\n"
    orders = []
    for seed in (7, 7, 8):
        done = run(tmp_path, tests, "-ptests.support.order", "-s", "--shuffle", str(seed))
        assert f"--shuffle {seed}" in done.stdout
        orders.append([part.partition(">")[0] for part in done.stdout.split("<")[1:]])
    assert sorted(orders[0], key=int) == [str(n) for n in range(30)]
    assert orders[0] == orders[1] != orders[2]


def test_of_a_log_the_errors_are_shown_with_what_belongs_to_them() -> None:
    text = (
        "2026-01-01 10:00:00,1 INFO    api x: fine\n2026-01-01 10:00:00,2 ERROR   api x: broke\nTraceback\n  KeyError\n"
        "2026-01-01 10:00:00,3 INFO    api x: fine again\n2026-01-01 10:00:00,4 WARNING api x: late\n"
    )
    assert logs.errors(text).splitlines() == [
        "2026-01-01 10:00:00,2 ERROR   api x: broke",
        "Traceback",
        "  KeyError",
        "2026-01-01 10:00:00,4 WARNING api x: late",
    ]
