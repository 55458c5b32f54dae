"""What everything that HTTP reaches stands on: the process's context, requests, errors, limits, uploads."""
