"""The host agent: makes driver calls and reports what it observes; it has no access to the database."""
