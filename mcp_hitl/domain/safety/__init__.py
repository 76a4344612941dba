"""What is unsafe in how this is set up, thought through from the attacker's side (THREATS).

Each module has one source of facts and one pure function from them to findings: `files`, `policies`, `reach`, `state`;
`connections` tells what the clients could do. A front-end with settings of its own, such as an inbox, is one more
module here and one more line where `cli/doctor.py` puts them together.
"""
