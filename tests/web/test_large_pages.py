"""A page with much on it keeps nobody else waiting."""

import threading
from typing import Any

import httpx2
import pytest
from web.attack import asked, page_of
from web.rig import Place

from mcp_hitl.web import approval_page, batch, edits

pytestmark = pytest.mark.anyio


async def test_pages_with_payloads_are_made_beside_whoever_serves_the_others(
    place: Place, http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    approval = await asked(place)
    made: list[int] = []
    for module in (approval_page, batch, edits):

        def making(*arguments: Any, behind: Any = module.page, **values: Any) -> Any:
            made.append(threading.get_ident())
            return behind(*arguments, **values)

        monkeypatch.setattr(module, "page", making)
    session = place.headers(await place.signed_in())
    for path in (f"/approvals/{approval.id}", f"/approvals/{approval.id}/edit", f"/batch?id={approval.id}"):
        await page_of(http, session, path)
    assert len(made) == 3 and threading.get_ident() not in made
