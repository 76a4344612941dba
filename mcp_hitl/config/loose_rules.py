"""Checks that a missing field or a wrong type cannot satisfy an approving rule (THREATS T2).

JSON Schema is permissive: `maximum` ignores text, `properties` ignores missing fields, `items` ignores an empty list.
This is harmless if a person decides; if a rule decides, each is a way past the rule.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from mcp_hitl.config.mistakes import Mistakes, inside
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.subschemas import target

_NUMBER, _TEXT = frozenset({"number", "integer"}), frozenset({"string"})
_ABOUT: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _NUMBER),
    **dict.fromkeys(("minLength", "maxLength", "pattern", "format"), _TEXT),
    **dict.fromkeys(
        "items prefixItems contains minItems maxItems uniqueItems unevaluatedItems".split(), frozenset({"array"})
    ),
    **dict.fromkeys(
        "properties required additionalProperties minProperties maxProperties unevaluatedProperties".split(),
        frozenset({"object"}),
    ),
}
"""The types that a keyword restricts. Values of every other type pass it."""
_TYPE_NAMES: Mapping[type, str] = {
    bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object",
}  # fmt: skip
_LOOSE = frozenset(
    """not if then else oneOf patternProperties propertyNames dependentSchemas dependentRequired minContains""".split()
)
"""Keywords that a payload can satisfy because something is missing, or because it does not fit another schema."""

_NO_MATTER = frozenset(
    "title description default examples deprecated readOnly writeOnly $comment $schema $defs".split()
)
"""Keywords that restrict nothing."""
_ONE_CHARACTER = re.compile(r"\\.|\[\^?\]?(?:\\.|\[:\^?[a-z]+:\]|[^\]\\])*\]", re.DOTALL)
"""An escape or a class of RE2, where `]` may come first and `[:alpha:]` has brackets of its own."""


def check_approving(when: JsonObject, schema: JsonObject, place: str, mistakes: Mistakes) -> None:
    """Note every way in which a missing field or another type would satisfy `when`; `schema` is the kind's own."""
    if not when.get("properties"):
        mistakes.add(inside(place, "properties"), "must name the fields that a payload is approved for")
    _Check(when, schema, mistakes).value(when, [{"type": "object"}], [schema], place)


class _Check:
    def __init__(self, when: JsonObject, schema: JsonObject, mistakes: Mistakes) -> None:
        self._when, self._schema, self._mistakes = when, schema, mistakes
        self._under: list[Any] = []

    def value(self, part: Any, own: list[JsonObject], kinds: list[JsonObject], place: str) -> None:
        """Check the schema of one value, to which the schemas in `own` (condition) and `kinds` (kind) apply too."""
        if not isinstance(part, dict) or any(part is each for each in self._under):
            return
        part = cast("JsonObject", part)
        self._under.append(part)
        own, kinds = [part, *own], self._with_targets(kinds)
        for keyword in sorted(_LOOSE & part.keys()):
            self._note(
                place, keyword, "must not be in a condition that approves: a payload may satisfy it by a missing field"
            )
        self._check_type(part, own + kinds, place)
        missing = [name for name in part.get("properties", {}) if name not in part.get("required", [])]
        if missing:
            names = ", ".join(repr(name) for name in missing)
            self._note(place, "required", f"must name {names}: a payload without a field must not be approved")
        for name, schema in part.get("properties", {}).items():
            self.value(schema, _fields(own, name), _fields(kinds, name), inside(place, "properties", name))
        self._check_items(part, own, kinds, place)
        for keyword in ("allOf", "anyOf"):
            for index, branch in enumerate(part.get(keyword, [])):
                if keyword == "anyOf" and self._is_empty(branch):
                    self._note(
                        inside(place, keyword),
                        index,
                        "must restrict something, or be left out: everything satisfies it",
                    )
                self.value(branch, own, kinds, inside(place, keyword, index))
        if "$ref" in part:
            self.value(target(self._when, part["$ref"]), own, kinds, inside(place, "$ref"))
        self._under.pop()

    def _check_type(self, part: JsonObject, known: list[JsonObject], place: str) -> None:
        if "const" in part or "enum" in part:
            return
        types = [_types(schema) for schema in known]
        for keyword, about in ((k, _ABOUT[k]) for k in part if k in _ABOUT):
            if not any(allowed and allowed <= about for allowed in types):
                wanted = " or ".join(f"'{name}'" for name in sorted(about, reverse=True))
                self._note(
                    place, "type", f"must be {wanted} here or in the kind's schema: other types would pass {keyword!r}"
                )
                break
        pattern = part.get("pattern", "^$")
        if not _anchored(pattern):
            self._note(place, "pattern", "must begin with ^ and end with $, or any part of the text may satisfy it")

    def _check_items(self, part: JsonObject, own: list[JsonObject], kinds: list[JsonObject], place: str) -> None:
        listed: list[Any] = part.get("prefixItems", [])
        least = len(listed) or int("items" in part)
        if all(schema.get("minItems", 0) < least for schema in own + kinds):
            self._note(place, "minItems", f"must be at least {least}: a list without its items must not be approved")
        ends = [schema["maxItems"] for schema in own + kinds if "maxItems" in schema]
        if listed and "items" not in part and all(most > len(listed) for most in ends):
            self._note(place, "items", "must be false, or say what may follow: prefixItems lets anything follow")
        for index, schema in enumerate(listed):
            self.value(schema, [], [], inside(place, "prefixItems", index))
        below = _tables(s["items"] for s in kinds if "items" in s and "prefixItems" not in s)
        self.value(part.get("items"), [], below, inside(place, "items"))
        if "contains" in part:
            self._note(
                place,
                "contains",
                "must be written as items with minItems = 1: one item that fits would allow all others",
            )

    def _is_empty(self, branch: Any) -> bool:
        """Return True if every value satisfies this branch."""
        if not isinstance(branch, dict):
            return branch is True
        whole = cast("JsonObject", branch)
        said = whole.keys() - _NO_MATTER
        return not said or (said == {"$ref"} and self._is_empty(target(self._when, whole["$ref"])))

    def _note(self, place: str, keyword: str | int, expected: str) -> None:
        self._mistakes.add(inside(place, keyword), expected)

    def _with_targets(self, kinds: list[JsonObject]) -> list[JsonObject]:
        """Return `kinds` and the targets of the references in them."""
        found = list(kinds)
        for schema in found:
            reached = target(self._schema, schema["$ref"]) if "$ref" in schema else None
            found += [each for each in _tables([reached]) if not any(each is known for known in found)]
        return found


def _anchored(pattern: str) -> bool:
    """Return True if the pattern must match the whole text.

    `^a|b$` ties each branch to one end, `\\$` is a dollar, `^*` need not be there, and after `(?m)` a `$` is the end of
    any line. A bracket that is quoted with `\\Q`, or stands in a class, encloses no branches.
    """
    if re.search(r"\(\?[a-zA-Z]*m|\\Q|^\^[*+?{]", pattern):
        return False
    bare = _ONE_CHARACTER.sub("x", pattern)
    depth = 0
    for character in bare:
        depth += (character == "(") - (character == ")")
        if character == "|" and depth == 0:
            return False
    return bare.startswith("^") and bare.endswith("$")


def _tables(schemas: Iterable[Any]) -> list[JsonObject]:
    return [cast("JsonObject", schema) for schema in schemas if isinstance(schema, dict)]


def _fields(schemas: list[JsonObject], name: str) -> list[JsonObject]:
    return _tables(schema["properties"][name] for schema in schemas if name in schema.get("properties", {}))


def _types(schema: JsonObject) -> frozenset[str]:
    """Return the types that a schema allows; empty if it sets none."""
    if "type" in schema:
        named = schema["type"]
        return frozenset([named] if isinstance(named, str) else named)
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return frozenset(_TYPE_NAMES[type(value)] for value in values)
