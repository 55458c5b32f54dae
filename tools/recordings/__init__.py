"""Records what is typed and seen in a terminal, as asciinema's text format."""
