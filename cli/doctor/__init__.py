"""`corral doctor`: what this machine lacks for running a fleet, and the commands that install it."""
