"""The common part of drivers whose VMs are processes of this host, each with a folder, a lock and disk layers."""
