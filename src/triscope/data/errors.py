"""Errors of bad input: what was found, what was expected, where, and what to do about it."""


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
