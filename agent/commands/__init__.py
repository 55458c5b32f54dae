"""Commands, each carried out once: taken from the queue, given its VM, handed to a driver, reported."""
