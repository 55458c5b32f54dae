"""`corral host`: the hosts of a fleet, and how machines join."""
