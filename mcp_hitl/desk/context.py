"""What all parts of the desk share: the store, the policy, the clock, the feed; and who sees what."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import anyio

from mcp_hitl.desk.audience import audience
from mcp_hitl.desk.feed import Feed
from mcp_hitl.desk.timekeeping import Timekeeper
from mcp_hitl.desk.transactions.kind_effects import Effects
from mcp_hitl.domain.approvals.approval import Approval
from mcp_hitl.domain.approvals.seen import Seen, as_seen_by, hides
from mcp_hitl.domain.policy.kinds import Kind
from mcp_hitl.domain.policy.policy import Assurance
from mcp_hitl.domain.policy.principal import Principal
from mcp_hitl.domain.policy.rulebook import Rulebook
from mcp_hitl.domain.values.errors import Invalid, NotFound
from mcp_hitl.domain.values.ids import is_approval_id
from mcp_hitl.store.store import Store
from mcp_hitl.store.transaction import Transaction
from mcp_hitl.store.view import View


class Context:
    """Where the parts of one desk work."""

    def __init__(
        self, store: Store, rulebook: Rulebook, clock: Timekeeper, effects: Effects, *, vouched: bool = False
    ) -> None:
        """Share `store`, `rulebook`, `clock` and `effects`, and one change feed.

        With `vouched`, nothing but a program's word says who acts, and the record says so.
        """
        self._vouched = vouched
        self.store = store
        self.rulebook = rulebook
        self.clock = clock
        self.effects = effects
        self.feed = Feed(store)
        self.stopping = anyio.Event()

    def see(
        self, principal: Principal, approval: Approval, now: datetime, *, deciding: Assurance | None = None
    ) -> Seen:
        """Return what the principal sees of an approval at `now`. Every read of the desk goes through here.

        An overdue approval is expired. Setting the clock back later does not revive it (THREATS T14).
        """
        status = approval.seen_at(now)
        held = approval if status is approval.status else replace(approval, status=status)
        kind = self.rulebook.kind_of(approval.kind, approval.definition)
        if not hides(kind):
            return Seen(held)
        viewer = self.rulebook.people.identify(principal)
        return as_seen_by(audience(viewer, held, self.rulebook, now, deciding), held, kind)

    async def change(self, who: Principal, approval_id: str, work: Callable[[Transaction], Approval]) -> Seen:
        """Change one approval in a transaction, and return what `who` sees of it then.

        Raises:
            NotFound: the id cannot be one of an approval.
        """
        check_id(approval_id)
        return self.see(who, await self.store.write(work), self.clock())

    def who(self, principal: Principal) -> Principal:
        """Return the principal under their main id, as the record names them."""
        who = self.rulebook.people.identify(principal)
        return who.as_told if self._vouched else who

    def kind(self, name: str) -> Kind:
        """Return a kind by its name.

        Raises:
            Invalid: there is no such kind.
        """
        kind = self.rulebook.kinds.get(name)
        if kind is None:
            raise Invalid(f"There is no such kind. Use one of: {', '.join(sorted(self.rulebook.kinds))}.")
        return kind


def check_id(text: str) -> None:
    """Refuse what cannot be the id of an approval.

    Raises:
        NotFound: it cannot be one.
    """
    if not is_approval_id(text):
        raise NotFound


def found(view: View, approval_id: str) -> Approval:
    """Return an approval.

    Raises:
        NotFound: there is none.
    """
    approval = view.approvals.get(approval_id)
    if approval is None:
        raise NotFound
    return approval
