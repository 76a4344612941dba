"""Audit entries hold digests and never contents; errors have stable codes."""

import pytest
from samples import ID, START

from mcp_hitl.domain.evidence.chain import Entry, Recorded, content_digest
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.values import errors


def test_an_entry_is_shown_with_its_place_and_who_acted() -> None:
    entry = Entry(
        approval=ID,
        event=Event.DECIDED,
        revision=1,
        at=START,
        assurance=Assurance.LOCAL,
        data={"verdict": "approve"},
        actor="os:ana",
        established="os-user",
    )
    assert Recorded(7, entry, "sha256:before", "sha256:own").as_json() == {
        "seq": 7,
        "approval": ID,
        "event": "decided",
        "revision": 1,
        "actor": "os:ana",
        "established": "os-user",
        "assurance": "local",
        "at": "2026-11-22T12:35:13.120Z",
        "data": {"verdict": "approve"},
        "previous": "sha256:before",
        "hash": "sha256:own",
    }


def test_an_entry_that_no_principal_caused_names_no_assurance() -> None:
    entry = Entry(approval=ID, event=Event.SUCCEEDED, revision=1, actor="system", at=START)
    shown = Recorded(1, entry, "sha256:before", "sha256:own").as_json()
    assert (shown["assurance"], shown["established"], shown["data"]) == (None, None, {})


def test_what_people_wrote_is_held_as_a_digest() -> None:
    assert content_digest(None) is None
    digest = content_digest("CANARY")
    assert digest is not None and digest.startswith("sha256:") and "CANARY" not in digest
    assert content_digest({"b": 1.0, "a": 2}) == content_digest({"a": 2, "b": 1})
    assert content_digest("") != content_digest({})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Invalid, "invalid"),
        (errors.NotAllowed, "not_allowed"),
        (errors.AlreadyResolved, "already_resolved"),
        (errors.Conflict, "conflict"),
        (errors.NeedsPerson, "needs_person"),
        (errors.TooMany, "too_many"),
        (errors.Paused, "paused"),
        (errors.Unavailable, "unavailable"),
        (errors.Uncertain, "uncertain"),
    ],
)
def test_an_error_has_its_stable_code_and_sentence(error: type[errors.HitlError], code: str) -> None:
    assert error.code == code
    assert str(error("Do this next.")) == "Do this next."


def test_not_found_says_what_to_do_and_never_what_was_sought() -> None:
    assert errors.NotFound.code == "not_found"
    assert "list-pending" in str(errors.NotFound())
