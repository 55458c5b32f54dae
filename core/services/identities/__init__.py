"""Who the hosts are: the accounts of their agents, and how a machine becomes a host."""
