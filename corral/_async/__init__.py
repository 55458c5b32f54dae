"""The source of both clients: `corral/_sync` is made from this folder by `scripts/unasync.py`."""
