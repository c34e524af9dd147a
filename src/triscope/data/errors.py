"""Errors of bad input: what was found, what was expected, where, and what to do about it."""

import json


class TriscopeError(ValueError):
    """A mistake in the user's data, configuration or files, told in one message.

    Args:
        where: file, key and field.
        found: what stands there.
        expected: what should.
        remedy: what the user can do.
    """

    def __init__(self, where: str, found: str, expected: str, remedy: str) -> None:
        super().__init__(f"{where}: found {found}; expected {expected}. {remedy[:1].upper()}{remedy[1:]}.")
        self.where, self.found, self.expected, self.remedy = where, found, expected, remedy

    def __reduce__(self) -> tuple:
        return type(self), (self.where, self.found, self.expected, self.remedy)


class BadSampleError(TriscopeError):
    """One sample is unusable. Counted, named and skipped within the error budget of a stream."""


class BadShardError(TriscopeError):
    """A shard, or the index beside it, is unusable."""


class LostWorkerError(TriscopeError):
    """A process that makes batches was killed. Its batches are made again, and its death counts as a bad sample does."""


class ConfigurationError(TriscopeError):
    """The parts, stage, data and checkpoints that were put together do not fit."""


def reason(error: Exception) -> str:
    """What went wrong, in words: `no such file or directory` for `[Errno 2] No such file or directory: 'a.json'`."""
    if isinstance(error, KeyError):
        return f"no field {error}"
    if isinstance(error, json.JSONDecodeError):
        return f"text that is not JSON ({error})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error)


def bad_path(error: OSError) -> ConfigurationError:
    """What is told of a file or folder that the system refuses to read or write; an error that names none is raised again.

    Raises:
        OSError: it is about no file, such as a connection.
    """
    if error.filename is None:
        raise error
    expected, remedy = "a path that can be read or written", "check the path, its permissions and the room on the disk"
    return ConfigurationError(str(error.filename), reason(error), expected, remedy)
