"""Exceptions and warnings."""


class SegvolError(Exception):
    """The base of all errors of this package. Their messages are those of the command `segvol`."""


class UsageError(SegvolError, ValueError):
    """An argument is wrong."""


class InputError(SegvolError, ValueError):
    """A scan, a prompt, a checkpoint or another input cannot be used."""


class BundleError(SegvolError):
    """The bundle is damaged, incomplete, or not a bundle."""


class ProviderError(SegvolError):
    """The provider, or ONNX Runtime itself, is not available."""


class OutOfMemoryError(SegvolError, MemoryError):
    """There is not enough memory."""


class CancelledError(SegvolError):
    """The work was stopped."""


class ComparisonError(SegvolError):
    """Numbers are too far from their reference, or below a threshold (`verify`, `bench`, `evaluate`)."""


class RunError(SegvolError, RuntimeError):
    """The work failed."""


class SegvolWarning(UserWarning):
    """Something that does not stop the work. `code` says what: docs/report.md lists all codes."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code
