"""How an error becomes a page of the inbox, or an answer to its script."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mcp_hitl.domain.values.errors import HitlError
from mcp_hitl.domain.values.text import in_order, visible
from mcp_hitl.protocols.http.status import STATUS
from mcp_hitl.web.rendering import page

_SAID = {
    404: ("Not here", "There is no such approval, or none that you may see."),
    405: ("Method not allowed", "Opening a link decides nothing. Decide on the page itself."),
}


def readable(words: str) -> str:
    """Words that a script puts into a page: they may name people, whose names are text from others too (T25)."""
    return in_order(visible(words, keep="\n"))


def refused(request: Request, error: Exception) -> Response:
    """The answer to a request that the desk refuses: a page where one was asked for, else its code and words."""
    assert isinstance(error, HitlError)
    status = STATUS[type(error)]
    if request.method == "GET":
        heading, words = _SAID.get(status, ("Request refused", str(error)))
        return page(request, "message.html", status=status, heading=heading, words=words)
    return JSONResponse({"code": error.code, "message": readable(str(error))}, status_code=status)


def nobody_there(request: Request, error: Exception) -> Response:
    """The answer to whoever has left before all of the request was there, or whom we have left: nobody gets it."""
    return Response(status_code=400)


def not_served(request: Request, error: Exception) -> Response:
    """The answer where there is no such page, or no such way to use it."""
    status = getattr(error, "status_code", 404)
    heading, words = _SAID.get(status, ("Not here", "There is no such page."))
    if status == 404 and not request.url.path.startswith("/approvals/"):
        words = "There is no such page."
    return page(request, "message.html", status=status, heading=heading, words=words)
