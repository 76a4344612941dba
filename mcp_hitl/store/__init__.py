"""Where approvals live: a protocol, and the databases that keep it."""
