"""The disks and DVDs of a host that VMs may have attached, and whose each is."""
