"""Approvals and what belongs to them: their state, deadlines, past, flow, sessions and stops."""
