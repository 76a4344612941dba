"""The one door to state: submit, decide, cancel, wait. Front-ends come through here, acting principal first."""

from mcp_hitl.desk.desk import Desk, Page

__all__ = ["Desk", "Page"]
