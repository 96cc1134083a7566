"""Field types that the sections of robot.toml share: what both readers take for a name, a magnitude or limits."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _ordered(limits: list[float]) -> list[float]:
    if limits[0] >= limits[1]:
        raise ValueError(f"min {limits[0]:g} is not below max {limits[1]:g}; write [min, max]")
    return limits


Finite = Annotated[float, Field(allow_inf_nan=False)]
Magnitude = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Limits = Annotated[list[Finite], Field(min_length=2, max_length=2), AfterValidator(_ordered)]


class Table(BaseModel):
    """A table of the file: no unknown keys, no coercion, unchanged once read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
