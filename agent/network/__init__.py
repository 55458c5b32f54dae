"""The network of VMs: ports of the host, and a bridge if one is configured."""
