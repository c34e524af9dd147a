"""Commands that measure, each with a table as its result."""

import triscope  # noqa: F401  (mends torchvision before anything imports it)
