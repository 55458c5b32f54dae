"""The fleet in numbers, for whoever watches over it: health, capacity, requests answered, metrics."""
