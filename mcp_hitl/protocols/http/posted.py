"""Reads the form that a request posts, within limits."""

from urllib.parse import parse_qsl

from starlette.requests import Request

from mcp_hitl.domain.values.errors import Invalid

_MOST_BYTES = 1_000_000
_MOST_FIELDS = 2_000


async def posted(request: Request) -> list[tuple[str, str]]:
    """The fields of a form, in order.

    Raises:
        Invalid: it is none, or too much.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise Invalid("This is not a form of this inbox.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise Invalid("This is more than the inbox takes at once.")
    try:
        return parse_qsl(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise Invalid("This form cannot be read.") from None
