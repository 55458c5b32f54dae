"""What only Corral's own developers need: hosts of a lab, a VirtualBox for the tests. No wheel has it."""
