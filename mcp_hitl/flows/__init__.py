"""Flows that come with the program."""
