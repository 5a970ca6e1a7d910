"""Errors that a user can mend.

Each message is one plain sentence: what was wrong, what was found, what to do. The command line prints it and
exits with ``exit_code``; the worker sends it as an ``error`` event; QGIS shows it as it is. Anything that
is not an ``EOTranslateError`` is a bug of ours and is reported as one.
"""


class EOTranslateError(Exception):
    """Base of every error that is the caller's to mend."""

    code = "error"
    exit_code = 1


class InputError(EOTranslateError):
    """An input raster, band, class or parameter cannot be used."""

    code = "input"


class ModelError(EOTranslateError):
    """A model package is unknown, invalid or damaged."""

    code = "model"


class OutputError(EOTranslateError):
    """The result cannot be written where it was asked for."""

    code = "output"


class DeviceError(EOTranslateError):
    """The requested device, or its memory, is not available."""

    code = "device"


class OutOfMemoryError(DeviceError):
    """The device has too little memory for the windows it was given; fewer or smaller ones may fit."""


class ClusterError(EOTranslateError):
    """The cluster's scheduler or its workers cannot be reached or are lost."""

    code = "cluster"


class MissingPackageError(EOTranslateError):
    """An optional package that this model needs is not installed."""

    code = "package"


class CancelledError(EOTranslateError):
    """The run was cancelled; nothing is left behind."""

    code = "cancelled"
    exit_code = 130
