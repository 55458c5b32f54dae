"""The real VirtualBox on a machine that has none: a Debian root in which VBoxManage runs, for tests."""
