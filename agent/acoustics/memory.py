"""Free memory that the C library keeps is memory the machine does not have."""

import contextlib
import ctypes


def give_back() -> None:
    """Return free heap to the system; loading a model leaves a third of its size behind."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)
