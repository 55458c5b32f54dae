"""The bodies of the vboxmcp document."""
