"""What a host is, has and uses, and whether it is alive: looked at in the background, told as it changes."""
