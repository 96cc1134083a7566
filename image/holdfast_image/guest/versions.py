"""What a robot remembers of versions and of its boot loader, across both slots: /var/lib/holdfast/os.

bad.json   versions that did not work, and why: never to be installed again
counted    the boot loader was seen to count a boot
"""

from __future__ import annotations

import json
from pathlib import Path

from holdfast_image.guest.boot_loader import BootLoader
from holdfast_image.guest.firstboot import write_durably

FOLDER = Path("/var/lib/holdfast/os")


class Memory:
    """Written durably, by root only."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._bad = folder / "bad.json"
        self._counted = folder / "counted"

    def bad(self) -> dict[str, str]:
        """Return the bad versions, each with what is known of it."""
        if not self._bad.is_file():
            return {}
        found: dict[str, str] = json.loads(self._bad.read_text())
        return found

    def remember_bad(self, version: str, why: str) -> None:
        """Never install a version again."""
        write_durably(self._bad, json.dumps({**self.bad(), version: why}, indent=1) + "\n", 0o644)

    def boot_loader_counts(self) -> bool:
        """Tell whether the boot loader was ever seen to count."""
        return self._counted.is_file()

    def remember_counting(self) -> None:
        """Note that it does."""
        write_durably(self._counted, "yes\n", 0o644)

    def learn(self, loader: BootLoader) -> None:
        """Remember the versions that have no tries left: they vanish from the boot loader with the next install."""
        for found in loader.installed():
            if found.exhausted and not found.running and found.version not in self.bad():
                self.remember_bad(found.version, "it was tried as often as it may be and never marked good")
