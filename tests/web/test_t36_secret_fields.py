"""T36: what a schema marks as secret is shown to whoever decides, and nowhere else; what is erased is gone."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from web.attack import a_form, edited, page_of, program, sealed_on
from web.rig import Place, decide, serving

from mcp_hitl.config.policy_file import parse
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.web.descriptions import lines
from mcp_hitl.web.fields import inputs

pytestmark = pytest.mark.anyio

KIND = """
schema = { type = "object", properties = { to = { type = "string" }, pin = { type = "string", writeOnly = true }, \
deep = { type = "object", properties = { key = { type = "string", writeOnly = true } } } } }
"""
POLICY = f"""
[kinds.vault]
{KIND.strip().replace(chr(92) + chr(10), "")}
[kinds.others]
{KIND.strip().replace(chr(92) + chr(10), "")}
[[kinds.others.stages]]
approvers = ["os:somebody-else"]
"""
SECRETS = ("kryptonite", "adamantium", "unobtainium")
PAYLOAD = {"to": "alice", "pin": SECRETS[0], "deep": {"key": SECRETS[1]}}


@pytest.fixture
async def vault(tmp_path: Path) -> AsyncGenerator[Place]:
    """An inbox on kinds with secrets."""
    async with serving(tmp_path / "hitl.db", rulebook=parse(POLICY).rulebook) as place:
        yield place


@pytest.fixture
async def http(vault: Place) -> AsyncGenerator[httpx2.AsyncClient]:
    """A program that speaks HTTP to that inbox."""
    async with program(vault) as client:
        yield client


async def pages_of(vault: Place, http: httpx2.AsyncClient, approval: Approval) -> dict[str, str]:
    session = vault.headers(await vault.signed_in())
    one = f"/approvals/{approval.id}"
    paths = [one, f"{one}/edit", f"{one}/edit?as=json", f"/batch?id={approval.id}"]
    return {path: await page_of(http, session, path) for path in paths}


async def test_t36_whoever_decides_sees_what_is_secret_and_that_it_is(vault: Place, http: httpx2.AsyncClient) -> None:
    approval = await vault.ask("vault", PAYLOAD)
    for path, text in (await pages_of(vault, http, approval)).items():
        assert all(secret in text for secret in SECRETS[:2]), path
    kind = vault.desk.rulebook.kinds["vault"]
    assert {line.name: line.secret for line in lines(PAYLOAD, kind)} == {"to": False, "pin": True, "deep": True}
    assert [one.hint.endswith("secret") for one in inputs(PAYLOAD, kind.schema)] == [False, True, True]


async def test_t36_what_has_ended_shows_no_secret_any_more(vault: Place, http: httpx2.AsyncClient) -> None:
    approval = await vault.ask("vault", PAYLOAD)
    await edited(vault, approval, pin=SECRETS[2])
    await decide(vault, approval)
    texts = await pages_of(vault, http, approval)
    assert [path for path, text in texts.items() if any(secret in text for secret in SECRETS)] == []
    assert "alice" in texts[f"/approvals/{approval.id}"]
    assert "(something secret)" in texts[f"/approvals/{approval.id}"], "an edit of a secret is no erased one"


async def test_t36_whoever_may_not_decide_sees_no_secret(vault: Place, http: httpx2.AsyncClient) -> None:
    approval = await vault.ask("others", PAYLOAD)
    for path, text in (await pages_of(vault, http, approval)).items():
        assert not any(secret in text for secret in SECRETS), path


async def test_t36_a_page_that_is_out_of_date_is_not_told_the_secret(vault: Place, http: httpx2.AsyncClient) -> None:
    approval = await vault.ask("vault", PAYLOAD)
    headers = vault.headers(await vault.signed_in())
    fields = a_form(approval, await sealed_on(http, headers, approval))
    await edited(vault, approval, pin=SECRETS[2])
    late = await http.post(f"/approvals/{approval.id}/decide", data=fields, headers=headers)
    assert late.status_code == 409 and "(something secret)" in late.json()["message"]


async def test_t36_of_a_kind_that_is_not_known_here_nothing_is_shown_once_it_has_ended(
    vault: Place, http: httpx2.AsyncClient
) -> None:
    approval = await vault.ask("vault", PAYLOAD)
    await decide(vault, approval)
    vault.desk.rulebook = Rulebook()
    texts = await pages_of(vault, http, approval)
    assert "shown to whoever decides, and nowhere else" in texts[f"/approvals/{approval.id}"]
    assert not any(secret in text for text in texts.values() for secret in SECRETS)


async def test_t36_nothing_is_found_by_a_secret(vault: Place, http: httpx2.AsyncClient) -> None:
    pending, ended = await vault.ask("vault", PAYLOAD), await vault.ask("vault", PAYLOAD | {"to": "bob"})
    plain = await vault.ask("question", {"question": f"Is {SECRETS[0]} strong?"})
    await decide(vault, ended)
    session = vault.headers(await vault.signed_in())
    for secret in SECRETS[:2]:
        found = await page_of(http, session, f"/?text={secret}")
        assert pending.id not in found and (plain.id in found) is (secret == SECRETS[0])
        assert ended.id not in await page_of(http, session, f"/history?text={secret}")
    assert pending.id in await page_of(http, session, f"/?text={pending.id}"), "by what is no secret it is"
    vault.desk.rulebook = Rulebook()
    assert pending.id not in await page_of(http, session, f"/?text={SECRETS[0]}"), "nor where its kind is not known"


async def test_the_pages_of_what_is_erased_say_so(vault: Place, http: httpx2.AsyncClient) -> None:
    approval = await vault.ask("vault", PAYLOAD)
    await edited(vault, approval, to="bob")
    await decide(vault, approval)
    vault.desk.rulebook = parse(POLICY).rulebook
    await vault.desk.evidence.erase(None, older_than=timedelta(0))
    assert (await vault.now(approval)).erased_at is not None
    texts = await pages_of(vault, http, approval)
    for path in (f"/approvals/{approval.id}", f"/batch?id={approval.id}"):
        assert "(erased)" in texts[path] and "payload</span>" not in texts[path], path
    assert "exactly as it would be taken" not in texts[f"/approvals/{approval.id}"]
