"""What is configured: the environment's settings, and kinds, people and policies from a TOML file.

The readers of the file are imported only where there is one (`policy_file`).
"""

from mcp_hitl.config.settings import CONFIGURATION, DATABASE, KEY, Settings, default_database, load

__all__ = ["CONFIGURATION", "DATABASE", "KEY", "Settings", "default_database", "load"]
