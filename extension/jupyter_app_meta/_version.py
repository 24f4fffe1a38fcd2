"""The version of the distribution, for code that must not import the package's ``__init__``."""

__version__ = "0.1.0"
