"""Checks for an unsafe setup, thought through from the attacker's side (THREATS).

Each module has one source of facts and one pure function that turns them into findings: `files`, `servers`, `policies`,
`reach`, `state`; `connections` lists what the clients could do. A front-end with settings of its own, such as an inbox,
needs one more module here and one more line where `doctor/gather.py` puts them together.
"""
