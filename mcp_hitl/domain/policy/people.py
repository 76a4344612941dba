"""Groups, and several accounts that belong to one person."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from mcp_hitl.domain.policy.principal import Principal

GROUP = "group:"


@dataclass(frozen=True, slots=True)
class People:
    """The people that a policy knows. `aliases` maps each further id of a person to their main id."""

    groups: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])

    def identify(self, principal: Principal) -> Principal:
        """Return the principal under their main id."""
        return replace(principal, id=self.person(principal.id))

    def person(self, account: str) -> str:
        """Return a person's main id, whichever account they use (THREATS T19)."""
        return self.aliases.get(account, account)

    def accounts(self, person: str) -> tuple[str, ...]:
        """Return every id of a person, the main one first."""
        return (person, *(account for account, main in self.aliases.items() if main == person))

    def members(self, approvers: Iterable[str]) -> dict[str, frozenset[str]]:
        """Return the present members of each `group:NAME` among `approvers`: the copy that an approval keeps."""
        names = [entry.removeprefix(GROUP) for entry in approvers if entry.startswith(GROUP)]
        return {name: self.groups.get(name, frozenset()) for name in names}
