"""Errors of the image build, as its user sees them.

ImageError
├── HostError        something the host lacks: root, a program, disk space
├── NetworkError     packages cannot be fetched
├── BuildError       a step failed; the message ends with the tail of its log
└── UsageError       an option that makes no sense
"""


class ImageError(Exception):
    """Base of all errors of this package; its text is one sentence for the user: what, where, how to mend."""


class HostError(ImageError):
    """The host lacks something the build needs."""


class NetworkError(ImageError):
    """Packages could not be fetched."""


class BuildError(ImageError):
    """A build step failed."""


class UsageError(ImageError):
    """An option is wrong."""
