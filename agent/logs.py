"""Logs: JSON for journald, text for a terminal, always on standard error."""

import contextlib
import logging
import sys
from typing import Literal, TextIO, cast

import structlog

Level = Literal["debug", "info", "warning", "error"]


def configure_logging(level: Level = "info", style: Literal["auto", "text", "json"] = "auto") -> None:
    """Send structlog's events to standard error; `auto` writes text on a terminal and JSON elsewhere."""
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if text else [structlog.processors.format_exc_info]),
            structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: structlog.PrintLogger(_STANDARD_ERROR),
    )


class _StandardError:
    """Standard error, looked up each time; what it does not take is lost.

    A disk that is full or a reader that is gone takes the memory of what happened. An error would end the
    thread that tells of it: the link's, so that the station never comes back to its broker.
    """

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


_STANDARD_ERROR = cast("TextIO", _StandardError())
