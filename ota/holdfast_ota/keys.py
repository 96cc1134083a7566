"""Private keys of a repository: ed25519, PKCS8 files for their owner alone, never published.

One key for each role, so that the loss of one (the timestamp key lives on the machine that signs daily) is
not the loss of all. Root has several; all but `root` may stay on the publishing machine, the root keys
belong on a stick in a drawer.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.exceptions import KeyMismatchError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from holdfast_ota import durable
from holdfast_ota.errors import PublishError


class KeyFolder:
    """The folder of a repository's private keys."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def generate(self, name: str) -> CryptoSigner:
        """Make a key and store it; the file is readable by its owner only."""
        signer = CryptoSigner.generate_ed25519()
        durable.make_directory(self.directory, mode=0o700)
        durable.write_file(self.path(name), signer.private_bytes, mode=0o600)
        return signer

    def path(self, name: str) -> Path:
        """File of a key."""
        return self.directory / f"{name}.pem"

    def find(self, name: str, public: Key) -> CryptoSigner | None:
        """Load a key if its file is here.

        Raises:
            PublishError: the file is not this role's key, or can be read by others.
        """
        path = self.path(name)
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            return None
        if mode & 0o077:
            raise PublishError(f"the key {path} can be read by others: run chmod 600 {path}")
        try:
            private = load_pem_private_key(path.read_bytes(), None)
            if not isinstance(private, Ed25519PrivateKey) or not isinstance(public, SSlibKey):
                raise KeyMismatchError("not ed25519")
            return CryptoSigner(private, public)
        except (KeyMismatchError, ValueError, TypeError, OSError, UnsupportedAlgorithm) as error:
            raise PublishError(
                f"{path} is not the private key that this repository trusts for {name}: put the right "
                f"file back"
            ) from error

    def load(self, name: str, public: Key) -> CryptoSigner:
        """Load a key that is needed now.

        Raises:
            PublishError: it is not here, or not the right one.
        """
        signer = self.find(name, public)
        if signer is None:
            raise PublishError(f"the key {self.path(name)} is missing: put it there to sign with it")
        return signer
