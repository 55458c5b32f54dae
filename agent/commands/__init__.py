"""Commands: each is taken from the queue, gets its VM lock, is carried out by a driver once, and is reported."""
