"""Pages from templates. Whatever a template puts in is text from somebody else until proven otherwise: it is escaped,
and what deceives the eye is shown (THREATS T25), without any template having to think of it.
"""

import hashlib
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from mcp_hitl import __version__
from mcp_hitl.domain.values.instants import in_words, rfc3339
from mcp_hitl.domain.values.text import backwards, in_order, json_lines, one_line, quoted, visible

STATIC = Path(str(resources.files("mcp_hitl.web") / "static"))


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A whole page."""
    session = getattr(request.state, "session", None)
    template_of = _environment().get_template(template)
    text = template_of.render(session=session, witness=request.state.witness, path=request.url.path, **values)
    return HTMLResponse(_in_order(text), status_code=status)


async def drawn(make: Callable[[], HTMLResponse]) -> HTMLResponse:
    """What `make` returns, made in a thread: a page with much on it takes long, and others are served meanwhile."""
    return await anyio.to_thread.run_sync(make)


def part(template: str, macro: str, *arguments: Any) -> str:
    """What one macro of a template makes: a piece of a page that is sent by itself."""
    module: Any = _environment().get_template(template).module
    return _in_order(str(getattr(module, macro)(*arguments)))


def _in_order(page: str) -> str:
    """Isolate each run of right-to-left letters in the text of a page; see `in_order`. Inputs do it by their style."""
    return page if backwards().search(page) is None else _pieces().sub(_isolated, page)


@cache
def _pieces() -> re.Pattern[str]:
    """Return a pattern for what has no markup inside, for tags, and for the runs between them."""
    return re.compile(
        rf"<(title|option)\b.*?</\1>|<textarea\b.*?</textarea>|<[^>]*>|(?P<run>{backwards().pattern})", re.S
    )


def _isolated(found: re.Match[str]) -> str:
    if found["run"] is not None:
        return f'<bdi dir="rtl">{found["run"]}</bdi>'
    return in_order(found[0]) if found[1] else found[0]


async def asset(request: Request) -> Response:
    """A file of the package: its address holds a digest of all of them, so that it can be kept for ever."""
    found = _assets().get(request.path_params["file"])
    if found is None or request.path_params["digest"] != _digest():
        return Response(status_code=404)
    content, kind = found
    return Response(content, media_type=kind, headers={"cache-control": "public, max-age=31536000, immutable"})


_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@cache
def _assets() -> dict[str, tuple[bytes, str]]:
    return {
        file.name: (file.read_bytes(), _KINDS[file.suffix])
        for file in sorted(STATIC.iterdir())
        if file.suffix in _KINDS
    }


@cache
def _digest() -> str:
    """Of all files together: scripts name one another, and must not go on to one that is kept of another version."""
    return hashlib.sha256(repr(_assets()).encode()).hexdigest()[:12]


def _scripts() -> list[str]:
    return [name for name in _assets() if name.endswith(".js")]


def _asset_url(name: str) -> str:
    return f"/assets/{_digest()}/{name}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mcp_hitl.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters: dict[str, Any] = {
        "when": _when,
        "since": _since,
        "span": span_in_words,
        "count": _count,
        "json_lines": json_lines,
        "one_line": one_line,
        "quoted": quoted,
    }
    # Both are written down as dictionaries of just what Jinja itself puts in.
    cast("dict[str, Any]", environment.filters).update(filters)
    cast("dict[str, Any]", environment.globals).update(asset=_asset_url, scripts=_scripts, version=__version__)
    return environment


def span_in_words(span: timedelta) -> str:
    """A length of time; a short one exactly, since there every second counts."""
    return f"{span.total_seconds():.1f} seconds" if span < timedelta(seconds=10) else in_words(span)


def _shown(value: Any) -> Any:
    """Every value on its way into a page."""
    if isinstance(value, Markup):
        return value
    return visible(value, keep="\n") if isinstance(value, str) else value


def _when(at: datetime, now: datetime) -> Markup:
    """An instant in relative words, with the exact one on hover; the page's script keeps the words true."""
    words = f"in {in_words(at - now)}" if at >= now else f"{in_words(now - at)} ago"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(rfc3339(at), _exact(at), words)


def _since(at: datetime, now: datetime) -> Markup:
    """How long it is since then, with the exact instant on hover; the page's script lets it grow."""
    return Markup('<time class="since" datetime="{}" title="{}">{}</time>').format(
        rfc3339(at), _exact(at), in_words(now - at)
    )


def _exact(at: datetime) -> str:
    return f"{at:%A} {at.day} {at:%B %Y, %H:%M:%S} UTC"


def _count(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"
