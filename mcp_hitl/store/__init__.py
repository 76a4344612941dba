"""Where approvals are stored: protocols, and the databases that implement them."""
