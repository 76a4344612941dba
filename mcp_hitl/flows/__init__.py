"""The flows that this package includes."""
