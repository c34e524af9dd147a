"""Onto the device that a user names."""

from typing import TypeVar

from torch import nn

from triscope.data.errors import ConfigurationError

Placed = TypeVar("Placed", bound=nn.Module)


def on_device(module: Placed, device: str) -> Placed:
    """A module, moved.

    Args:
        module: any.
        device: such as `cpu` or `cuda:0`.

    Raises:
        ConfigurationError: there is no such device here.
    """
    try:
        return module.to(device)
    except (RuntimeError, AssertionError) as error:  # the latter of a torch that was built for the CPU alone
        found, remedy = f"{device} ({str(error).splitlines()[0]})", "`triscope doctor` tells what is here; cpu always is"
        raise ConfigurationError("device", found, "a device of this machine", remedy) from None
