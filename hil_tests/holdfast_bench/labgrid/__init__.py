"""The labgrid back end of the bench: boards on a shelf, and a virtual target that proves the way to them.

labgrid needs a fork of pyserial that overwrites pyserial, so it lives in an environment of its own and is
asked over a pipe (docs/decisions/0052-labgrid.md):

    LabgridLink  --JSON lines-->  agent.py in labgrid's environment  -->  target, coordinator, exporter
"""

from holdfast_bench.labgrid.errors import LabgridError
from holdfast_bench.labgrid.link import LabgridLink

__all__ = ["LabgridError", "LabgridLink"]
