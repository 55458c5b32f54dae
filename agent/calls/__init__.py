"""Calls, each answered at most once and before its deadline, and the streams that some of them open."""
