"""Resources: the pending approvals, one approval, one audit trail; as the JSON that the tools return."""

import re
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from mcp_hitl.desk import Desk
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import HitlError
from mcp_hitl.domain.values.text import in_order, json_in_order
from mcp_hitl.present.trails import trail_shape
from mcp_hitl.present.views import Views
from mcp_hitl.protocols.mcp.callers import Identify

PENDING = "approvals://pending"
_MIME = "application/json"
_ONE = re.compile(r"(approvals|audit)://(apr_[0-9a-z]{1,60})")
_PAGE = 100


def uris_of(approval_id: str) -> tuple[str, ...]:
    """Return the resources that change when this approval changes."""
    return (f"approvals://{approval_id}", f"audit://{approval_id}", PENDING)


def is_ours(uri: str) -> bool:
    """Return True if this server could have a resource with this URI."""
    return uri == PENDING or _ONE.fullmatch(uri) is not None


class Resources:
    """The handlers of `resources/…`."""

    def __init__(self, desk: Desk, identify: Identify, views: Views) -> None:
        """Read from `desk` for whom `identify` names."""
        self._desk = desk
        self._views = views
        self._identify = identify

    async def list(
        self, context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        """Return the one resource that always exists."""
        pending = Resource(
            uri=PENDING,
            name="pending",
            title="Pending approvals",
            description=f"The approvals and questions that are waiting for a person, oldest first, at most {_PAGE}.",
            mime_type=_MIME,
        )
        return ListResourcesResult(resources=[pending])

    async def list_templates(
        self, context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        """Return the templates for one approval and its audit trail, by id."""
        return ListResourceTemplatesResult(
            resource_templates=[
                ResourceTemplate(
                    uri_template="approvals://{id}",
                    name="approval",
                    title="Approval",
                    description="One approval in its present state.",
                    mime_type=_MIME,
                ),
                ResourceTemplate(
                    uri_template="audit://{id}",
                    name="audit-trail",
                    title="Audit trail",
                    description="Every audit entry of one approval.",
                    mime_type=_MIME,
                ),
            ]
        )

    async def read(
        self, context: ServerRequestContext[Any, Any], params: ReadResourceRequestParams
    ) -> ReadResourceResult:
        """Return one resource as JSON."""
        uri = str(params.uri)
        try:
            content = await self._content(self._identify(context), uri)
        except HitlError as error:
            raise MCPError(
                code=INVALID_PARAMS, message=in_order(str(error)), data={"uri": uri, "code": error.code}
            ) from None
        text = TextResourceContents(uri=uri, text=json_in_order(content), mime_type=_MIME)
        return ReadResourceResult(contents=[text])

    async def _content(self, caller: Principal, uri: str) -> JsonObject:
        if uri == PENDING:
            return self._views.page_shape(await self._desk.search.pending(caller, limit=_PAGE))
        found = _ONE.fullmatch(uri)
        if found is None:
            raise MCPError(code=INVALID_PARAMS, message="No such resource.", data={"uri": uri})
        if found[1] == "approvals":
            return self._views.shape(await self._desk.approvals.get(caller, found[2]))
        trail = await self._desk.approvals.trail(caller, found[2])
        return trail_shape(trail.entries, trail.verified)
