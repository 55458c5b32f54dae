"""The web page: files for a browser, which is a client of the public API like any other."""
