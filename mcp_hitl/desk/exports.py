"""Verifies an export of the log without the database that it came from."""

import json
from collections.abc import Iterator

from mcp_hitl.desk.evidence import Finding
from mcp_hitl.domain.evidence.chain import content_digest, genesis
from mcp_hitl.domain.evidence.ledger import Broken, Ledger, recorded_of
from mcp_hitl.domain.values.canonical import JsonObject
from mcp_hitl.domain.values.errors import Invalid


def verify_export(lines: Iterator[str], *, expect: str | None = None) -> Finding:
    """Check an export on its own: the chain, and each content against its digest in the entry's data.

    Raises:
        Broken: the lines are not an export.
    """
    try:
        header = json.loads(next(lines))
        ledger = Ledger(genesis(str(header["database"])))
    except (StopIteration, ValueError, KeyError, TypeError):
        raise Broken("the first line does not say that this is an export of the audit log") from None
    number = 1
    try:
        for text in lines:
            number += 1
            line: JsonObject = json.loads(text)
            recorded = recorded_of(line)
            ledger.read([recorded], expect=expect)
            if line.keys() - recorded.as_json().keys() - {"contents", "redacted"}:
                raise Broken(f"entry {ledger.seq} has a field that no entry has")
            for digest, value in line.get("contents", {}).items():
                if digest not in recorded.entry.data.values():
                    raise Broken(f"the data of entry {ledger.seq} does not name one of its contents")
                if content_digest(value) != digest:
                    raise Broken(f"a content of entry {ledger.seq} does not match its digest {digest}")
        ledger.check_end(expect)
    except Broken as broken:
        return Finding(ledger.seq, ledger.head, f"line {number}: {broken}")
    except (ValueError, TypeError, AttributeError, Invalid):
        return Finding(ledger.seq, ledger.head, f"line {number} cannot be read")
    return Finding(ledger.seq, ledger.head)
