"""Signing keys by URI: PEM files, security modules, cloud services; whatever securesystemslib knows."""

import os
from getpass import getpass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from securesystemslib.exceptions import Error
from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata

from agent.errors import UpdateError

FILE = f"{CryptoSigner.SCHEME}:"


def make_key(path: Path) -> str:
    """Write a new ed25519 key as PEM, readable by its owner alone, and return its URI.

    Raises:
        UpdateError: there is a file already.
    """
    path = path.absolute()
    try:
        path.touch(mode=0o600, exist_ok=False)
        path.write_bytes(CryptoSigner.generate_ed25519().private_bytes)
    except OSError as error:
        raise UpdateError(f"{path}: no key was written: {error.strerror}") from error
    return f"{FILE}{path}"


def absolute(uri: str) -> str:
    """Return a URI that means the same from every folder: a timer publishes from another one."""
    parts = uri.split(",")
    if parts[0].startswith(FILE):
        parts[0] = FILE + str(Path(parts[0].removeprefix(FILE)).absolute())
    return ",".join([parts[0], *(str(Path(public).absolute()) for public in parts[1:])])


def public_key(uri: str) -> SSlibKey:
    """Return the public half.

    Args:
        uri: `file2:PATH` of a private key in PEM; or `URI,PATH` with the public key in PEM, for keys that do
            not leave their device: `hsm:...`, `gcpkms:...`, `awskms:...`, `azurekms:...`.

    Raises:
        UpdateError: there is no such key.
    """
    private, _, public = uri.partition(",")
    try:
        if public:
            return SSlibKey.from_crypto(load_pem_public_key(Path(public).read_bytes()))
        if ":" not in private:
            raise UpdateError(f"{uri}: names no kind of key; a PEM file is named {FILE}{uri}")
        if not private.startswith(FILE):
            raise UpdateError(f"{uri}: give its public key, too: {uri},PUBLIC.pem")
        key = load_pem_private_key(Path(private.removeprefix(FILE)).read_bytes(), None)
        return SSlibKey.from_crypto(key.public_key())
    except (OSError, ValueError, TypeError, Error) as error:
        raise UpdateError(f"{uri}: no usable key: {error}") from error


def lies_here(uri: str) -> bool:
    """Whether it is a PEM file that is there now; a stick with it may have been pulled out."""
    return uri.startswith(FILE) and Path(uri.removeprefix(FILE)).exists()


def sign(metadata: Metadata[Any], uri: str, public: Key) -> None:
    """Add a signature; a device asks for its PIN, unless `VOXLINE_SIGNING_PIN` holds it.

    Raises:
        UpdateError: the key cannot be used here, or is another one.
    """

    def secret(name: str) -> str:
        return os.environ.get("VOXLINE_SIGNING_PIN") or getpass(f"{name} of {uri}: ")

    try:
        signer = Signer.from_priv_key_uri(uri.partition(",")[0], public, secret)
        metadata.sign(signer, append=True)
    except (OSError, ValueError, TypeError, Error, UnsignedMetadataError) as error:
        reason = error.__cause__ or error
        raise UpdateError(
            f"{uri}: cannot be used for signing here: {reason or type(reason).__name__}"
        ) from error
