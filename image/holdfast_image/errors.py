"""Errors of building and flashing the image, as their user sees them.

ImageError
├── HostError        something the host lacks: root, a program, disk space
├── DriveError       the drive may not be erased: it is in use, too small, read-only
├── ImageFileError   the file to flash is no disk image, or is damaged
├── FlashError       flashing began and did not end well; the message tells what the drive is now
├── SigningError     an image cannot be signed; nothing is left of the copy
├── NetworkError     packages cannot be fetched
├── BuildError       a step failed; the message ends with the tail of its log
├── LockError        a build has other packages than the lock says; the message lists them
└── UsageError       an option that makes no sense
"""


class ImageError(Exception):
    """Base of all errors of this package; its text is one sentence for the user: what, where, how to mend."""


class HostError(ImageError):
    """The host lacks something the build needs."""


class DriveError(ImageError):
    """A drive may not be erased."""


class ImageFileError(ImageError):
    """A file is no whole disk image."""


class FlashError(ImageError):
    """A drive was erased and holds no usable image."""


class SigningError(ImageError):
    """An image cannot be signed."""


class NetworkError(ImageError):
    """Packages could not be fetched."""


class BuildError(ImageError):
    """A build step failed."""


class LockError(ImageError):
    """A build does not meet the package lock."""


class UsageError(ImageError):
    """An option is wrong."""
