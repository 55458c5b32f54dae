"""What the rules of a VM's namespace say of each of its adapters."""

from __future__ import annotations

import re

from agent.network.egress import Egress
from agent.network.namespaces import SLIRP_NAME, TAP, ruleset


def test_every_adapter_of_a_guest_is_held_to_them() -> None:
    """A VM may have several; only what slirp4netns brings in passes unlooked at."""
    named = re.findall(r"iifname (.*)", ruleset(TAP, Egress()))
    assert named == [f'"{SLIRP_NAME}" accept']
