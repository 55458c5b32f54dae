"""Tools for Corral's developers: a lab, a simulator, VirtualBox for the tests. No wheel has them."""
