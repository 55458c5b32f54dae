"""One folder or module per hypervisor; drivers never import each other."""
