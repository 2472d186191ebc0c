"""One root error; one class per kind of failure, each with a stable code.

A message says what is wrong, where, and what to do about it: it is read by a person at a machine.
"""

from typing import ClassVar

from pydantic import ValidationError


def not_utf8(error: UnicodeDecodeError) -> tuple[int, str]:
    """Return the line at which bytes stop being UTF-8, from 1 on, and the byte in words."""
    line = error.object.count(b"\n", 0, error.start) + 1
    return line, f"byte 0x{error.object[error.start]:02x}"


def first_fault(error: ValidationError) -> str:
    """Name the first field that breaks a schema, and how."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"]))
    return f"{field + ': ' if field else ''}{first['msg']}"


class VoxlineError(Exception):
    """Root of every error that Voxline raises on purpose."""

    code: ClassVar[str] = "voxline"


class SettingsError(VoxlineError):
    """A configuration file, environment variable or secret is missing or wrong."""

    code = "settings"


class GrammarError(VoxlineError):
    """A grammar file cannot be read, breaks its schema, or needs sounds the model does not know."""

    code = "grammar"


class BundleError(VoxlineError):
    """A model bundle is incomplete, damaged, or does not fit this agent or board."""

    code = "bundle"


class EngineError(VoxlineError):
    """An inference engine cannot start, answers too late, or answers something that is not a result."""

    code = "engine"


class AudioError(VoxlineError):
    """An audio file cannot be read, or no audio device fits."""

    code = "audio"


class MessagingError(VoxlineError):
    """A message breaks the contract, or the broker refuses us."""

    code = "messaging"


class UpdateError(VoxlineError):
    """An update cannot be fetched, is not trusted, or does not fit this station."""

    code = "update"


class AuditError(VoxlineError):
    """The audit log cannot be read or written, or another agent writes it."""

    code = "audit"
