"""VMs that come to this host from another one."""
