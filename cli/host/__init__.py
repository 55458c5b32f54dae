"""`corral host`: how machines become hosts of a fleet."""
