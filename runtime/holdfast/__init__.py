"""The on-robot runtime of Holdfast: worker, deploy pipeline, state, and the `holdfast` command line."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("holdfast")
except PackageNotFoundError:  # run from the source tree, not installed
    __version__ = "0+source"

__all__ = ["__version__"]
