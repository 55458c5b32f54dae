"""How a machine becomes a host, and what it keeps of that."""
