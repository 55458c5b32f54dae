"""Calls: each is answered at most once and before its deadline; some of them open a stream."""
