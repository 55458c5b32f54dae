"""What the API says of itself: figures for Prometheus, and the counts behind /status."""
