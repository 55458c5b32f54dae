"""`corral image` and `corral store`: images of this machine."""
