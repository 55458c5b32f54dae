"""One process per host: makes driver calls and reports what it saw; knows no database."""
