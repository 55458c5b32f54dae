"""The group of `corral host`, with what lets machines join."""

from __future__ import annotations

from cli.host import joining
from cli.remote.fleet import host

for each in (joining.add, joining.rejoin, joining.tokens, joining.revoke_token):
    host.add_command(each)
