"""Logs: JSON for journald, text for a terminal, always on standard error."""

import logging
import sys
from typing import Literal

import structlog

Level = Literal["debug", "info", "warning", "error"]


def configure_logging(level: Level = "info", style: Literal["auto", "text", "json"] = "auto") -> None:
    """Send structlog's events to standard error; `auto` writes text on a terminal and JSON elsewhere."""
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if text else [structlog.processors.format_exc_info]),
            structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # looked up each time
    )
