"""Identifies the user who runs this process by asking the operating system: callers can set environment variables."""

import sys

from mcp_hitl.domain.policy.principal import Established, Principal


def os_user() -> Principal:
    """Return the operating-system user as a principal, such as `os:ana`."""
    return Principal(f"os:{_name()}", Established.OS_USER)


if sys.platform == "win32":

    def _name() -> str:
        import ctypes

        size = ctypes.c_ulong(256)
        buffer = ctypes.create_unicode_buffer(size.value)
        if not ctypes.windll.advapi32.GetUserNameW(buffer, ctypes.byref(size)):
            raise ctypes.WinError()
        return buffer.value

else:

    def _name() -> str:
        import os
        import pwd

        try:
            return pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            return f"uid-{os.getuid()}"
