"""A payload: what it is, and the canonical form that its digest is of."""

from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any, cast

from mcp_hitl.domain.values.canonical import JsonObject, canonical, digest_of, read_back


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


def arranged_like(value: Any, other: Any) -> Any:
    """Return `value` with the fields of its objects in the order of `other`, and then those that it does not have."""
    return _arranged(value, other, {})


def _arranged(value: Any, like: Any, schema: Any) -> Any:
    """Return `value` with the fields of its objects in the order of the schema, then of `like`, then as they are."""
    rules = cast("JsonObject", schema) if isinstance(schema, dict) else {}
    if isinstance(value, dict):
        fields, properties = cast("JsonObject", value), rules.get("properties", {})
        order = cast("JsonObject", like) if isinstance(like, dict) else {}
        names = dict.fromkeys(name for name in (*properties, *order, *fields) if name in fields)
        return {name: _arranged(fields[name], order.get(name), properties.get(name)) for name in names}
    if isinstance(value, list):
        order = cast("list[Any]", like) if isinstance(like, list) else []
        pairs = zip_longest(cast("list[Any]", value), order)
        return [
            _arranged(item, other, rules.get("items")) for item, other in islice(pairs, len(cast("list[Any]", value)))
        ]
    return value
