# Made from corral/_async/__init__.py by scripts/unasync.py; change that file instead.
"""The source of both clients: `corral/_sync` is made from this folder by `scripts/unasync.py`."""
