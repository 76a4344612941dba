"""The configuration: the environment's settings, and kinds, people and policies from a TOML file.

The code that reads the file is imported only if there is a file (`policy_file`).
"""

from mcp_hitl.config.location import Location
from mcp_hitl.config.settings import CONFIGURATION, DATABASE, KEY, Settings, default_database, load

__all__ = ["CONFIGURATION", "DATABASE", "KEY", "Location", "Settings", "default_database", "load"]
