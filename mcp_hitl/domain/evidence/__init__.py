"""The audit log: its entries, their digests, and how the whole is verified."""
