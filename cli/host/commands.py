"""The group of `corral host` commands."""

from __future__ import annotations

from cli.host import cordons, drains, joining, rotations
from cli.remote.fleet import host

for each in (joining.add, joining.rejoin, joining.tokens, joining.revoke_token):
    host.add_command(each)
for each in (cordons.cordon, cordons.uncordon, cordons.activate, cordons.fence, drains.drain, rotations.rotate):
    host.add_command(each)
