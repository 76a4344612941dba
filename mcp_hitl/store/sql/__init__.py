"""The statements that every database of ours understands, and the few words in which the databases differ."""
