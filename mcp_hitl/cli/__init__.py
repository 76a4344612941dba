"""The composition root: reads settings, opens the store, and starts the server or serves a person at the terminal."""
