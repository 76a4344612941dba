"""T35: whoever chooses the policy file chooses who decides, so a change of it is an entry of the log."""

from collections.abc import Callable
from pathlib import Path

import pytest
from desk_samples import ANA

from mcp_hitl.config.policy_file import read
from mcp_hitl.desk import Desk
from mcp_hitl.domain.evidence.event_names import Event
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.canonical import JsonObject, digest_of

pytestmark = pytest.mark.anyio
Under = Callable[[Rulebook], Desk]
OURS = "# reviewed\n[kinds.action]\nassurance = 'session'\n"
THEIRS = "[kinds.action]\nassurance = 'local'\n"


@pytest.fixture
def policy(tmp_path: Path) -> Callable[[str], Rulebook]:
    """The rulebook of a policy file with this text."""

    def of(text: str) -> Rulebook:
        (tmp_path / "policy.toml").write_text(text)
        return read(tmp_path / "policy.toml").rulebook

    return of


async def changes(desk: Desk) -> list[tuple[str, JsonObject]]:
    entries = [recorded.entry for recorded in await desk.evidence.entries()]
    return [(entry.actor, entry.data) for entry in entries if entry.event is Event.POLICY_CHANGED]


async def test_t35_each_change_of_the_policy_file_is_an_entry_and_opening_with_the_same_is_none(
    under: Under, policy: Callable[[str], Rulebook]
) -> None:
    ours, theirs = policy(OURS), policy(THEIRS)
    first, second = digest_of(OURS.encode()), digest_of(THEIRS.encode())
    for rulebook in (ours, ours, theirs, theirs, ours):
        desk = under(rulebook)
        await desk.check_policy(ANA)
    assert await changes(desk) == [
        ("os:ana", {"policy": first}),
        ("os:ana", {"policy": second, "was": first}),
        ("os:ana", {"policy": first, "was": second}),
    ]
    assert (await desk.evidence.verify()).wrong is None


async def test_t35_a_stored_digest_that_no_entry_says_is_found(under: Under, policy: Callable[[str], Rulebook]) -> None:
    desk = under(policy(OURS))
    await desk.check_policy(ANA)
    await desk.store.write(lambda tx: tx.facts.set_policy(digest_of(THEIRS.encode())))
    assert "policy file" in ((await desk.evidence.verify()).wrong or "")
    await under(policy(THEIRS)).check_policy(ANA)
    assert (await changes(desk))[1:] == [], "nothing to record: so verifying must find it"
    assert (await desk.evidence.verify()).wrong is not None
