"""The version of the package, for results to bear."""

__version__ = "0.1.0"
