"""Tools for AI agents, by the Model Context Protocol, on the Python library alone."""
