"""When words are met, and which text cannot be searched for."""

import pytest

from mcp_hitl.domain.approvals.search import MAX_TEXT, Sought, words_of
from mcp_hitl.domain.values.errors import Invalid


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("", True),
        ("  \n ", True),
        ("lunch", True),
        ("LUNCH", True),
        ("unc", True),
        ("lunch MÜLLER", True),
        ("müller lunch", True),
        ("STRASSE", True),  # ß folds to ss
        ("os:agent 49.99", True),
        ("lunch dinner", False),
        ("lunchmüller", False),
        ("lunchos", False),  # not across two texts
        ("%", False),
        ("l_nch", False),
    ],
)
def test_every_word_has_to_occur_somewhere_in_any_case(text: str, met: bool) -> None:
    texts = ("apr_1", "Lunch", None, "os:agent", '{"amount":49.99,"who":"Müller, Hauptstraße"}')
    assert Sought(words=words_of(text)).met_by(*texts) is met


def test_a_word_counts_once() -> None:
    assert words_of("b a B\u2003a") == ("b", "a")
    assert words_of(None) == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x" * (MAX_TEXT + 1), "must have at most 200 characters"),
        ("a\0b", "contains a NUL character"),
        ("\ud800", "contains half of a surrogate pair"),
    ],
)
def test_what_no_approval_can_hold_is_not_searched_for(text: str, sentence: str) -> None:
    with pytest.raises(Invalid, match=f"The text to search for {sentence}"):
        words_of(text)
