"""`corral backup` and `corral restore`: all that a control plane knows, in one file."""
