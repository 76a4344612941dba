"""The inbox: pages on which a person sees what is pending and decides."""
