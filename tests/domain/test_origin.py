"""The address of a web server: one text for each, and nothing else is one."""

import pytest

from mcp_hitl.domain.values.origin import Origin

WRITTEN = [
    ("http://127.0.0.1:8765", Origin("http", "127.0.0.1", 8765)),
    ("http://localhost", Origin("http", "localhost", 80)),
    ("https://desk.example", Origin("https", "desk.example", 443)),
    ("https://desk.example:80", Origin("https", "desk.example", 80)),
    ("http://[::1]:8765", Origin("http", "::1", 8765)),
    ("http://[::1]", Origin("http", "::1", 80)),
]


@pytest.mark.parametrize(("text", "origin"), WRITTEN)
def test_an_origin_is_printed_as_it_is_read(text: str, origin: Origin) -> None:
    assert Origin.parse(text) == origin
    assert str(origin) == text


def test_the_usual_port_may_be_written_and_is_not_printed() -> None:
    assert str(Origin.parse("http://localhost:80")) == "http://localhost"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "localhost:8765",
        "http://",
        "http://:8765",
        "ftp://localhost",
        "HTTP://localhost",
        "http://localhost/",
        "http://localhost:8765/",
        "http://localhost:",
        "http://localhost:x",
        "http://localhost:08765",
        "http://localhost:65536",
        "http://localhost:123456",
        "http://localhost:٣",
        "http://me@localhost",
        "http://localhost@evil.example",
        "http://localhost, http://localhost",
        "http://localhost http://localhost",
        "http://localhost\n",
        " http://localhost",
        "http://::1",
        "http://[127.0.0.1]",
        "http://[::1",
        "http://[::1]x",
        "http://http://localhost",
    ],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Origin.parse(text)
