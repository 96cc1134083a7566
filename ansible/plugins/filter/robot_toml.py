"""Filter `robot_toml`: a robot.toml with some of its values set, comments and order kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import tomlkit
from ansible.errors import AnsibleFilterError
from tomlkit.exceptions import TOMLKitError


def robot_toml(text: str, settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Return `text` with every key of `settings` (section, then key) set; missing sections are added.

    Raises:
        AnsibleFilterError: the text is not TOML, or a section of it is not a table.
    """
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise AnsibleFilterError(f"robot_file is not valid TOML: {error}") from error
    for section, values in settings.items():
        table = document.setdefault(section, tomlkit.table())
        if not isinstance(table, MutableMapping):
            raise AnsibleFilterError(f"robot_file: {section} must be a table; write [{section}]")
        for key, value in values.items():
            # Ansible marks strings with where they come from; TOML wants the plain value.
            table[key] = str(value) if isinstance(value, str) else value
    return tomlkit.dumps(document)


class FilterModule:
    """What Ansible looks for in this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file by name."""
        return {"robot_toml": robot_toml}
