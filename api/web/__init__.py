"""The ground under everything that HTTP reaches: context, requests, errors, limits, uploads."""
