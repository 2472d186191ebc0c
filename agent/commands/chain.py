"""Lines of a hash chain: each names the hash of the one before, so none can be changed, added or left out.

Whoever may write the file can forge the whole chain from any line on; a hash noted elsewhere exposes that.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

GENESIS = "0" * 64
"""What the first line of all names."""
_MARK = b',"hash":"'
_SEAL_LENGTH = len(_MARK) + 64 + len(b'"}')


@dataclass(frozen=True, slots=True)
class Entry:
    """A line whose own hash is right."""

    sequence: int
    """From 0, without gaps."""
    previous: str
    """Hash of the line before."""
    hash: str
    fields: Mapping[str, JsonValue]


def seal(fields: Mapping[str, JsonValue], sequence: int, previous: str) -> tuple[bytes, str]:
    """Write an entry as one line of JSON, in ASCII; return the line, with its newline, and its hash."""
    body = json.dumps(
        {"seq": sequence, "prev": previous, **fields}, separators=(",", ":"), allow_nan=False
    ).encode()
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + _MARK + digest.encode() + b'"}\n', digest


def unseal(line: bytes) -> Entry:
    """Read a line, without its newline.

    Raises:
        ValueError: it is no entry, or its hash is not that of its content.
    """
    body, mark, rest = line[:-_SEAL_LENGTH] + b"}", line[-_SEAL_LENGTH:][: len(_MARK)], line[-66:]
    digest = hashlib.sha256(body).hexdigest()
    if mark != _MARK or rest != digest.encode() + b'"}':
        raise ValueError("the hash is not that of the content")
    fields = json.loads(body)
    sequence, previous = fields.pop("seq", None), fields.pop("prev", None)
    if not isinstance(sequence, int) or not isinstance(previous, str):
        raise ValueError("no sequence number or hash of the line before")  # noqa: TRY004 - one error for a bad line
    return Entry(sequence, previous, digest, fields)
