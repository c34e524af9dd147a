"""What processes tell each other."""

import itertools

import torch.distributed


def gathered(items: list) -> list:
    """The items of all processes, in the order of ranks; this process's own where there is only one."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return items
    everywhere: list[list] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(everywhere, items)
    return list(itertools.chain.from_iterable(everywhere))
