"""JSON that we parse ourselves: it has exactly one meaning, or it is refused (THREATS T3)."""

import json
from collections import Counter
from typing import Any, NoReturn

from mcp_hitl.domain.values.canonical import canonical
from mcp_hitl.domain.values.errors import Invalid


class Twice(Invalid):
    """A key occurs twice in one object."""


def parse(text: str | bytes, *, what: str) -> Any:
    """Parse JSON in UTF-8; `what` is its name in messages.

    Raises:
        Invalid: not JSON, a key that occurs twice in one object, or a value that other readers could read differently.
    """
    value = parse_once(text, what=what)
    canonical(value, what=what)
    return value


def parse_once(text: str | bytes, *, what: str) -> Any:
    """Parse JSON whose values the caller checks, such as parts that have digests of their own.

    Raises:
        Invalid: not JSON, or a key that occurs twice in one object.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
            named = repr(twice) if twice.isidentifier() and len(twice) <= 40 else "a key"
            raise Twice(f"{what} has {named} twice in one object. Use each key once.")
        return found

    def no_number(_: str) -> NoReturn:
        raise Invalid(f"{what} has a number that is not finite, which JSON does not allow.")

    try:
        # Not `json.loads(bytes)`, which would also take UTF-16 and UTF-32.
        return json.loads(
            text.decode("utf-8-sig") if isinstance(text, bytes) else text,
            object_pairs_hook=once,
            parse_constant=no_number,
        )
    except UnicodeDecodeError:
        raise Invalid(f"{what} is not text in UTF-8.") from None
    except json.JSONDecodeError as error:
        raise Invalid(f"{what} is not JSON (line {error.lineno}, column {error.colno}).") from None
    except RecursionError:
        raise Invalid(f"{what} is nested too deeply.") from None
    except ValueError:
        raise Invalid(f"{what} has a number that is too long.") from None
