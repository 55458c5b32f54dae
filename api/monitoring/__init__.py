"""Metrics of the API for Prometheus, and the counts behind /status."""
