"""The media of a host that VMs may have attached, and their owners."""
