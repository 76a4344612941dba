"""The hash chain by itself: what a hash covers, and what reading it finds."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import ID, START

from mcp_hitl.domain.evidence.chain import NOWHERE, Entry, Recorded, content_digest, genesis, hash_of
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.evidence.ledger import Broken, Ledger, recorded_of
from mcp_hitl.domain.evidence.told import Told
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.values.canonical import JsonObject

DATABASE = "000102030405060708090a0b0c0d0e0f"

GOLDEN_GENESIS = "sha256:43a4c6d9bb2e575934193517f1b1422d9151fad8b5e0c8731d0dd329316d3457"
GOLDEN_BEGINNINGS = [
    "sha256:bd65c3581fa6b48c",
    "sha256:f30e6f89c63ef41d",
    "sha256:4976d823115823a1",
    "sha256:17b0f71597326b4d",
    "sha256:8b30ad7dd26db0ac",
]
GOLDEN_HEAD = "sha256:8b30ad7dd26db0acc97d6cfb9a4724fea33ab79ef5acf9f11d9ad0b2cf1b9072"


def entry(event: Event, **changes: Any) -> Entry:
    base = Entry(approval=ID, event=event, revision=1, actor="os:ana", at=START, established="os-user")
    return replace(base, **changes)


HAPPENED = [
    entry(Event.OPENED, actor="os:agent", data={"kind": "expense", "payload": content_digest({"amount": 50})}),
    entry(
        Event.DECIDED,
        assurance=Assurance.LOCAL,
        at=START + timedelta(milliseconds=880),
        data={"verdict": "approve", "stage": 1, "comment": content_digest("Grüße 😀"), "looked_ms": 12_345},
    ),
    entry(Event.APPROVED, at=START + timedelta(days=1)),
    entry(Event.PAUSED, approval=NOWHERE, revision=0, data={"kind": "expense"}),
    entry(Event.SUCCEEDED, actor="system", established=None),
]


def chained(entries: list[Entry]) -> list[Recorded]:
    """The entries in a chain of this database."""
    chain: list[Recorded] = []
    previous = genesis(DATABASE)
    for seq, one in enumerate(entries, start=1):
        chain.append(Recorded(seq, one, previous, hash_of(seq, one, previous)))
        previous = chain[-1].hash
    return chain


def told_by(entries: list[Entry]) -> Told:
    told = Told.begin(entries[0])
    assert told is not None
    for one in entries[1:]:
        told.add(one)
    return told


def read(chain: list[Recorded], expect: str | None = None) -> Ledger:
    ledger = Ledger(genesis(DATABASE))
    ledger.read(chain, expect=expect)
    return ledger


def test_the_same_events_have_the_same_hashes_in_every_version() -> None:
    assert [one.hash[:23] for one in chained(HAPPENED)] == GOLDEN_BEGINNINGS
    assert genesis(DATABASE) == GOLDEN_GENESIS
    assert chained(HAPPENED)[-1].hash == GOLDEN_HEAD


_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.builds(
        Entry,
        approval=_TEXT,
        event=st.sampled_from(Event),
        revision=st.integers(0, 2**53 - 1),
        actor=_TEXT,
        at=st.datetimes(timezones=st.just(UTC)),
        established=st.none() | _TEXT,
        assurance=st.none() | st.sampled_from(Assurance),
        data=st.dictionaries(
            _TEXT.filter(lambda text: "\0" not in text), st.integers(-9, 9) | st.booleans() | st.none()
        ),
    ),
    st.integers(1, 2**53 - 1),
    _TEXT,
)
def test_an_entry_matches_its_hash_after_it_was_shown_and_read_back(one: Entry, seq: int, previous: str) -> None:
    shown = json.dumps(Recorded(seq, one, previous, hash_of(seq, one, previous)).as_json())
    assert recorded_of(json.loads(shown)).intact


def test_a_hash_is_what_anybody_computes_from_the_entry_as_it_is_shown() -> None:
    for one in chained(HAPPENED)[:1]:
        shown = one.as_json()
        stated = shown.pop("hash")
        plain = json.dumps(shown, sort_keys=True, separators=(",", ":"))  # canonical, as long as all is ASCII
        assert stated == "sha256:" + hashlib.sha256(plain.encode()).hexdigest()
    assert genesis(DATABASE) == "sha256:" + hashlib.sha256(f'"{DATABASE}"'.encode()).hexdigest()


def test_an_intact_chain_is_read_to_its_end() -> None:
    chain = chained(HAPPENED)
    ledger = read(chain, expect=chain[2].hash)
    assert (ledger.seq, ledger.head, ledger.met_expected) == (5, chain[-1].hash, True)
    assert not read(chain, expect="sha256:other").met_expected
    told = told_by([one.entry for one in chain])
    assert (told.status.value, told.outcome.value, told.digest) == (
        "approved",
        "succeeded",
        content_digest({"amount": 50}),
    )


CHANGES: list[JsonObject] = [
    {"approval": "apr_01jd9xkm8g0123456789abcdeg"},
    {"event": Event.REJECTED},
    {"revision": 2},
    {"actor": "os:bo"},
    {"established": "loopback"},
    {"established": None},
    {"assurance": Assurance.STEP_UP},
    {"at": START + timedelta(milliseconds=879)},
    {"data": {}},
    {"data": {"verdict": "reject", "stage": 1}},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_t35_every_field_of_an_entry_is_covered_by_its_hash(change: JsonObject) -> None:
    chain = chained(HAPPENED)
    chain[1] = replace(chain[1], entry=replace(chain[1].entry, **change))
    with pytest.raises(Broken, match=r"^entry 2 was changed: its hash does not match its contents$"):
        read(chain)


@given(st.integers(0, 4), st.integers(0, 4))
def test_t35_no_entry_can_be_removed_doubled_or_moved(taken: int, put: int) -> None:
    chain = chained(HAPPENED)
    if taken != 4:
        with pytest.raises(Broken, match=f"^entry {taken + 1} is missing: entry {taken + 2} follows entry {taken}$"):
            read([one for one in chain if one is not chain[taken]])
    with pytest.raises(Broken, match="is missing"):
        read([*chain[: put + 1], *chain[put:]])
    moved = [one for one in chain if one is not chain[taken]]
    moved.insert(put, chain[taken])
    if taken != put:
        with pytest.raises(Broken, match=f"^entry {min(taken, put) + 1} is missing"):
            read(moved)


def test_t35_an_entry_that_was_written_anew_with_its_own_hash_breaks_the_next_one() -> None:
    chain = chained(HAPPENED)
    forged = replace(chain[1].entry, actor="os:bo")
    chain[1] = Recorded(2, forged, chain[0].hash, hash_of(2, forged, chain[0].hash))
    with pytest.raises(Broken, match=r"^entry 3 does not continue the chain: the entry before it was replaced$"):
        read(chain)


def test_t35_a_chain_of_another_database_does_not_continue_this_one() -> None:
    with pytest.raises(Broken, match=r"^entry 1 does not continue the chain"):
        Ledger(genesis("another")).read(chained(HAPPENED))


@pytest.mark.parametrize(
    ("entries", "wrong"),
    [
        ([HAPPENED[1]], "entry 1 is about .* which was never opened"),
        ([HAPPENED[0], HAPPENED[0]], "entry 2 opens .* a second time"),
        ([HAPPENED[0], entry(Event.APPROVED), entry(Event.EXPIRED)], "entry 3 ends .* which had ended as approved"),
        ([entry(Event.OPENED)], "entry 1 lacks a field that its event needs"),
        ([HAPPENED[0], entry(Event.EDITED)], "entry 2 lacks a field that its event needs"),
        (
            [HAPPENED[0], entry(Event.DECIDED, data={"verdict": "approve"})],
            "entry 2 lacks a field that its event needs",
        ),
        ([entry(Event.OPENED, data=["payload"])], "entry 1 lacks a field that its event needs"),
    ],
)
def test_t35_a_story_that_cannot_have_happened_is_found(entries: list[Entry], wrong: str) -> None:
    with pytest.raises(Broken, match=wrong):
        read(chained(entries))


def test_an_entry_that_has_no_canonical_form_is_not_intact() -> None:
    assert not Recorded(2**60, HAPPENED[0], "", "").intact
    assert not Recorded(1, entry(Event.OPENED, data={"n": float("nan")}), "", "").intact
    assert not Recorded(1, entry(Event.OPENED, data={"\udc00": 1}), "", "").intact


def test_an_entry_is_read_back_from_what_is_shown_of_it() -> None:
    for one in chained(HAPPENED):
        assert recorded_of(json.loads(json.dumps(one.as_json()))) == one


@pytest.mark.parametrize(
    "change", [{"event": "invented"}, {"at": "yesterday"}, {"at": 5}, {"assurance": "certain"}, {"seq": None}], ids=str
)
def test_what_is_no_entry_is_refused(change: JsonObject) -> None:
    line = chained(HAPPENED)[0].as_json() | change
    if change == {"seq": None}:
        del line["seq"]
    with pytest.raises(Broken, match="is not an entry"):
        recorded_of(line)
