"""Verifies an export of the log without the database that it came from."""

from collections.abc import Iterator, MutableMapping
from typing import Any, cast

from mcp_hitl.desk.evidence import FORMAT
from mcp_hitl.desk.verifying import Finding
from mcp_hitl.domain.evidence.chain import content_digest, genesis
from mcp_hitl.domain.evidence.ledger import Broken, Ledger, recorded_of
from mcp_hitl.domain.values import strict_json
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid
from mcp_hitl.domain.values.text import one_line
from mcp_hitl.store.spilled import Spilled

_WITHOUT_END = "mcp-hitl-audit/1"
"""The format before: its last line is its last entry, so nobody can see whether it has all of them."""
_HEADER = {"format": str, "database": str, "redacted": bool}
_END = {"entries": int, "head": str}


def verify_export(lines: Iterator[str], *, expect: str | None = None) -> Finding:
    """Check an export on its own: the chain, its end, and each content against its digest in the entry's data.

    Raises:
        Broken: the lines are not an export, or one in a format that this program does not know.
    """
    with Spilled() as statuses:
        return _verified(_Export(next(lines, ""), statuses), lines, expect)


def _verified(export: "_Export", lines: Iterator[str], expect: str | None) -> Finding:
    number = 1
    try:
        for text in lines:
            number += 1
            export.read(text, expect)
        export.check_end(expect)
    except Broken as broken:
        return export.found(f"line {number}: {broken}")
    except Invalid as error:
        return export.found(f"line {number} cannot be read: {str(error).removesuffix('.')}")
    except (ValueError, TypeError, AttributeError):
        return export.found(f"line {number} cannot be read")
    return export.found()


class _Export:
    """What was read of an export so far."""

    def __init__(self, first: str, statuses: MutableMapping[str, str]) -> None:
        """Begin with the first line. `statuses` is for the ledger.

        Raises:
            Broken: it is not that of an export.
        """
        try:
            header: Any = strict_json.parse(first, what="it")
        except Invalid:
            header = None
        if not _has(header, _HEADER):
            raise Broken("the first line does not say that this is an export of the audit log")
        if header["format"] not in (FORMAT, _WITHOUT_END):
            named = one_line(str(header["format"]), 60)
            raise Broken(f"this program does not know the format {named}; verify it with a newer mcp-hitl")
        self._ledger = Ledger(genesis(str(header["database"])), statuses)
        self._ends: bool = header["format"] == FORMAT
        self._ended = False

    def read(self, text: str, expect: str | None) -> None:
        """Read the next line.

        Raises:
            Broken, Invalid, ValueError, TypeError, AttributeError: it is not what has to stand there.
        """
        line: Any = strict_json.parse_once(text, what="it")
        if self._ended:
            raise Broken("it stands behind the end of the export")
        if self._ends and _has(line, _END):
            self._ended = True
            if (line["entries"], line["head"]) != (self._ledger.seq, self._ledger.head):
                raise Broken(f"the export has {line['entries']} entries, but {self._ledger.seq} stand before its end")
            return
        recorded = recorded_of(line)
        self._ledger.read([recorded], expect=expect)
        _check_line(self._ledger.seq, recorded.as_json(), line)

    def check_end(self, expect: str | None) -> None:
        """Check that nothing is missing at the end.

        Raises:
            Broken: something is.
        """
        self._ledger.check_end(expect)
        if self._ends and not self._ended:
            raise Broken("the export ends here without its last line: what follows was cut off. Export the log again")

    def found(self, wrong: str | None = None) -> Finding:
        """Return what was found."""
        unchecked = None
        if wrong is None and not self._ends:
            unchecked = (
                f"The file has the older format {_WITHOUT_END}, which does not say how many entries there were. If "
                "some are missing at its end, this check cannot see it: compare the number, or export the log again."
            )
        return Finding(self._ledger.seq, self._ledger.head, wrong, unchecked)


def _check_line(seq: int, entry: JsonObject, line: JsonObject) -> None:
    """Check that a line says what its entry says and nothing else, and the contents that stand beside it."""
    if line.keys() - entry.keys() - {"contents", "redacted"}:
        raise Broken(f"entry {seq} has a field that no entry has")
    if any(line[name] != value for name, value in entry.items()):
        raise Broken(f"entry {seq} is written otherwise than an export writes it")
    digests = entry["data"].values()
    for digest, value in line.get("contents", {}).items():
        if digest not in digests:
            raise Broken(f"the data of entry {seq} does not name one of its contents")
        if content_digest(value) != digest:
            raise Broken(f"a content of entry {seq} does not match its digest {digest}")
    if any(digest not in digests for digest in cast("list[object]", line.get("redacted", []))):
        raise Broken(f"the data of entry {seq} does not name one of its redacted contents")


def _has(value: object, fields: dict[str, type]) -> bool:
    """Return True if `value` is an object with exactly these fields of these types."""
    if not isinstance(value, dict):
        return False
    held = cast("JsonObject", value)
    return held.keys() == fields.keys() and all(type(held[name]) is sort for name, sort in fields.items())
