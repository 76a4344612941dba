"""A payload: what it is, and the canonical form that its digest is of."""

from dataclasses import dataclass, field
from typing import Any, cast

from mcp_hitl.domain.canonical import JsonObject, canonical, digest_of, read_back


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload with its canonical form and digest.

    `value` has the values of the canonical form, which writes `2.0` as 2, with the fields in the order in which people
    read them. The order does not count: the digest is the same for any.
    """

    value: JsonObject
    canonical: bytes
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        """Digest the canonical form."""
        object.__setattr__(self, "digest", digest_of(self.canonical))


def payload_of(given: JsonObject, schema: JsonObject) -> Payload:
    """Return the payload that was given, with its fields in the order of the schema and then as they were given.

    Raises:
        Invalid: it is not plain JSON (see `canonical`).
    """
    form = canonical(given, what="payload")
    return Payload(_arranged(read_back(form), given, schema), form)


def _arranged(value: Any, given: Any, schema: Any) -> Any:
    """Return `value` with the fields of its objects in the order of the schema and then of `given`."""
    rules = cast("JsonObject", schema) if isinstance(schema, dict) else {}
    if isinstance(value, dict):
        fields, order = cast("JsonObject", value), cast("JsonObject", given)
        properties = rules.get("properties", {})
        names = dict.fromkeys([*(name for name in properties if name in fields), *order])
        return {name: _arranged(fields[name], order[name], properties.get(name)) for name in names}
    if isinstance(value, list):
        items = zip(cast("list[Any]", value), cast("list[Any]", given), strict=True)
        return [_arranged(item, as_given, rules.get("items")) for item, as_given in items]
    return value
