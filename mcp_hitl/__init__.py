"""The approval desk for AI agents: an agent asks, a person decides, and it can be proved afterwards."""

__version__ = "0.1.0"
