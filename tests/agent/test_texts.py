"""What a host says of its own troubles, without telling where it keeps its files."""

from __future__ import annotations

import errno

import pytest

from agent.drivers.limits import only_driver_failures
from core.contract.errors import DriverFailure


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.ENOENT])
def test_what_the_files_of_a_host_refuse_names_none_of_them(number: int) -> None:
    @only_driver_failures
    def start() -> None:
        raise OSError(number, "refused", "/var/lib/corral/hosts/host-a/vms/vm-1/disk.qcow2")

    with pytest.raises(DriverFailure) as caught:
        start()
    assert caught.value.message == "start failed on the host: refused"
    assert "/" not in caught.value.message
