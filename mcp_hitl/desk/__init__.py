"""The one door to state: submit, decide, cancel, wait. Front-ends pass the acting principal first."""

from mcp_hitl.desk.desk import Desk
from mcp_hitl.desk.search import Page

__all__ = ["Desk", "Page"]
