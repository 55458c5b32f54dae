"""Commands that are clients of the public API, on the Python library alone."""
