"""Which files a probe runs: one SHA-256 over the names and contents of its Python files."""

import binascii
import hashlib
import os


def files_hash(folder: str) -> str:
    """Return the SHA-256 of the folder's *.py in order of name, each as NAME, NUL, length, NUL, content."""
    digest = hashlib.sha256()
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - MicroPython has no pathlib
        if name.endswith(".py"):
            with open(folder + "/" + name, "rb") as file:  # noqa: PTH123
                content = file.read()
            digest.update(("%s\0%d\0" % (name, len(content))).encode())  # noqa: UP031
            digest.update(content)
    return binascii.hexlify(digest.digest()).decode()
