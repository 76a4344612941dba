"""`mcp-hitl` with forms that are withdrawn as soon as they are shown, instead of after 45 seconds."""

from mcp_hitl.__main__ import main
from mcp_hitl.server.app import ApprovalServer

FORM_SECONDS = 0.2

if __name__ == "__main__":
    defaults = ApprovalServer.__init__.__kwdefaults__
    assert defaults is not None
    defaults["form_seconds"] = FORM_SECONDS
    main()
