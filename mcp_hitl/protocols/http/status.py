"""The HTTP status of each error: one table for every front-end that speaks HTTP."""

from collections.abc import Mapping

from mcp_hitl.domain.values.errors import (
    AlreadyResolved,
    Conflict,
    HitlError,
    Invalid,
    NeedsPerson,
    NotAllowed,
    NotFound,
    Paused,
    TooMany,
    Unavailable,
    Uncertain,
    Unreadable,
)

STATUS: Mapping[type[HitlError], int] = {
    Invalid: 422,
    NotFound: 404,
    NotAllowed: 403,
    NeedsPerson: 403,
    AlreadyResolved: 409,
    Conflict: 409,
    Paused: 409,
    TooMany: 429,
    Unreadable: 500,
    Unavailable: 503,
    Uncertain: 503,
}
