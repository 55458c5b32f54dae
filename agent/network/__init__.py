"""How VMs are joined to the world: ports of the host, and where it is configured a bridge."""
