"""`mcp-hitl` that knows of an inbox, whoever serves it: `python with_inbox.py ADDRESS --db …`."""

import sys
from typing import Any
from unittest import mock

from mcp_hitl.__main__ import main
from mcp_hitl.desk import Desk
from mcp_hitl.server.app import ApprovalServer

if __name__ == "__main__":
    address = sys.argv.pop(1)
    begin = ApprovalServer.__init__

    def begin_knowing(self: ApprovalServer, desk: Desk, *arguments: Any, **options: Any) -> None:
        """Start as ever, on a desk that has the address."""
        desk.address = address
        begin(self, desk, *arguments, **options)

    with mock.patch.object(ApprovalServer, "__init__", begin_knowing):
        main()
