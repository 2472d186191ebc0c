"""Tell systemd how the service is (sd_notify).

Pings come from the recognizer's progress, never from a timer: a recognizer that hangs is restarted, whatever
the other threads do.
"""

import os
import socket


class Watchdog:
    """The service's line to systemd; without systemd every call does nothing.

    It reads NOTIFY_SOCKET and WATCHDOG_USEC, which systemd sets for a unit with Type=notify and WatchdogSec=.
    """

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        limit_us = os.environ.get("WATCHDOG_USEC")
        self._interval_s = int(limit_us) / 1e6 / 3 if limit_us else None
        self._pinged_s = float("-inf")

    def ready(self) -> None:
        """Say that the service listens."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Say in one line what the service does: `systemctl status` shows it."""
        self._send(f"STATUS={text.splitlines()[0] if text else ''}")

    def stopping(self) -> None:
        """Say that the service is about to end."""
        self._send("STOPPING=1")

    def progress(self, now_s: float) -> None:
        """Report one turn of the recognizer's loop; systemd is told at most three times per limit.

        Args:
            now_s: monotonic time.

        """
        if self._interval_s is not None and now_s - self._pinged_s >= self._interval_s:
            self._pinged_s = now_s
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.sendto(message.encode(), self._address)
        except OSError:
            return  # systemd is not listening: it will judge by what it heard last
