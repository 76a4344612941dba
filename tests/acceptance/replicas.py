"""Several servers of the program on one PostgreSQL database, which come and go."""

import subprocess
import threading
from collections.abc import Mapping
from typing import Any

from warm import warm


class Replica:
    """One server, which is started again whenever it was killed."""

    def __init__(self, database: str, variables: Mapping[str, str]) -> None:
        """Start it."""
        self._command = warm("--db", database, "serve", "--port", "0")
        self._variables = variables
        self.said: list[str] = []
        """What it has written for its operator."""
        self.url: str | None = None
        """Where it answers; None while it is away."""
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = process = subprocess.Popen(
            self._command, stderr=subprocess.PIPE, text=True, env=self._variables
        )
        listening = threading.Event()
        self._reading = threading.Thread(target=self._read, args=(process, listening), daemon=True)
        self._reading.start()
        assert listening.wait(120) and self.url is not None, self.said[-20:]

    def kill(self) -> None:
        """Kill it without a warning; it is dead afterwards."""
        self.url = None
        self._process.kill()
        self._process.wait()
        self._reading.join()

    def _read(self, process: Any, listening: threading.Event) -> None:
        with process.stderr as lines:
            for line in lines:
                self.said.append(line)
                if "MCP endpoint" in line:
                    self.url = line.split()[-1]
                    listening.set()
        listening.set()
