"""The command line: reads settings, opens the store, and starts a server or runs a command."""
