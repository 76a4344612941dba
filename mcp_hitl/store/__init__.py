"""Where approvals live: protocols, and the databases that keep them."""
