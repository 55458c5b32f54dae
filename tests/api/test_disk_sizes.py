"""A disk that is too small for its image is a 400 in the caller's own word, before anything is made."""

from __future__ import annotations

from typing import Any

import pytest

from core.contract.hosts import HostFacts
from tests.api.world import World

ASKED: dict[str, dict[str, Any]] = {
    "microvm": {"name": "small", "storage_config": {"disk_size_gb": 2}},
    "vboxmcp": {"name": "small", "storage_gb": 2},
}
FIELDS = {"microvm": "storage_config.disk_size_gb", "vboxmcp": "storage_gb"}


@pytest.mark.parametrize("dialect", ["microvm", "vboxmcp"])
def test_it_is_refused_in_the_dialect_s_words(world: World, dialect: str) -> None:
    image, host = f"big-{dialect}", f"sized-{dialect}"
    facts = HostFacts(image_sizes_gb={image: 3})
    world.record.add_host(host, images=[image], facts=facts)
    asked = ASKED[dialect] | {"template": image, "host": host}
    who = world.caller().headers(dialect)
    refused = world.post("/vms", who, json=asked)
    assert refused.status_code == 400, refused.text
    assert f"{FIELDS[dialect]} is 2" in refused.text
    assert "needs at least 3" in refused.text
    listed = world.get("/vms", who).json
    assert listed["total"] == 0
