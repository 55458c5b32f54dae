"""The Python library of Corral: VMs over a fleet of hosts.

    from corral import Client

    with Client("http://127.0.0.1:8000", token="corral_...") as client:
        client.vms.create("web", vcpus=1, memory_mb=512)
        client.vms.start("web")
        print(client.commands.run("web", "uname -a").stdout)

`AsyncClient` is the same with `await`. It speaks to the public API alone.
"""

from corral._async.client import AsyncClient, AsyncSandbox
from corral._sync.client import Client, Sandbox
from corral.errors import (
    ApiError,
    Conflict,
    CorralError,
    Forbidden,
    GuestTimeout,
    InvalidRequest,
    NotConfigured,
    NotFound,
    OperationFailed,
    RateLimited,
    ServerError,
    Unauthenticated,
    Unavailable,
    Unreachable,
    WaitTimeout,
)

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncSandbox",
    "Client",
    "Conflict",
    "CorralError",
    "Forbidden",
    "GuestTimeout",
    "InvalidRequest",
    "NotConfigured",
    "NotFound",
    "OperationFailed",
    "RateLimited",
    "Sandbox",
    "ServerError",
    "Unauthenticated",
    "Unavailable",
    "Unreachable",
    "WaitTimeout",
]
