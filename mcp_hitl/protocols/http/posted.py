"""Reads the form that a request posts, within limits."""

from collections.abc import Callable
from urllib.parse import parse_qsl

from starlette.requests import Request

from mcp_hitl.domain.values.errors import Invalid

_MOST_BYTES = 1_000_000
_MOST_FIELDS = 2_000


async def posted(request: Request, *, repeats: Callable[[str], bool] = lambda _: False) -> list[tuple[str, str]]:
    """The fields of a form, in order. Each name occurs once (THREATS T3), unless `repeats(name)`.

    Raises:
        Invalid: it is none, or too much, or a field occurs twice.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise Invalid("This is not a form of this inbox.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise Invalid("This is more than the inbox takes at once.")
    try:
        found = parse_qsl(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise Invalid("This form cannot be read.") from None
    names = [name for name, _ in found if not repeats(name)]
    if len(set(names)) < len(names):
        raise Invalid("A field of this form occurs twice. Send each of them once.")
    return found
