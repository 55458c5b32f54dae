"""The command line: `corral`."""
