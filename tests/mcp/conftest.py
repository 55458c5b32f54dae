"""The tools, by the protocol's own client, on a whole fleet with the fake driver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli.fleet.fleet import Fleet
from cli.fleet.plan import Plan
from cli.fleet.share import Share


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Real processes, and an image that the fake driver is content with."""
    images = tmp_path_factory.mktemp("mcp-images")
    (images / "linux-default").mkdir()
    (images / "linux-default" / "manifest.json").write_text("{}")
    plan = Plan(
        home=tmp_path_factory.mktemp("mcp-fleet") / "home",
        images=images,
        hypervisors=("fake",),
        flower=False,
        durable=False,
        image=False,
        share=Share(vcpus=64, memory_mb=64 * 1024, disk_gb=1000),
        environment={"RATE_LIMIT_BURST": "1000000", "RATE_LIMIT_HOURLY": "1000000"},
    )
    with Fleet(plan) as running:
        yield running
