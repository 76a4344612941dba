"""Processes that serve: the servers, the one inbox of all processes, and signals."""
