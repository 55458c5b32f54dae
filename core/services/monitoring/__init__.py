"""Monitoring of the fleet: health, capacity, request counts, metrics."""
