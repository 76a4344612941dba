"""T3: the state of a form or a page is read strictly, although only we can have sealed it."""

import pytest

from mcp_hitl.domain.approvals.shown import Shown
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.protocols.mcp.request_state import PageState, dump_form, load

PAGE = PageState("apr_1", 2, 0)
FORM = Shown("apr_1", 2, "sha256:1", 1, "nonce", None)


def test_a_state_comes_back_as_it_was() -> None:
    assert (load(PAGE.dump()), load(dump_form(FORM))) == (PAGE, FORM)


@pytest.mark.parametrize(
    "text",
    [
        '{"approval": "apr_1", "revision": 1, "revision": 2, "decisions": 0}',
        '{"approval": "apr_1", "revision": 2}',
        '{"approval": "apr_1", "revision": 2, "decisions": 0, "more": 1}',
        '{"approval": "apr_1", "revision": "2", "decisions": 0}',
        '["apr_1", 2, "sha256:1", "nonce", null]',
        '["apr_1", 2, "sha256:1", "nonce", "now", 1]',
        "5",
        "no JSON",
    ],
)
def test_t03_a_state_with_two_meanings_or_none_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="Ask the person again"):
        load(text)
