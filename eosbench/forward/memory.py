"""Memory: a batch that does not fit is halved, and a pass takes the memory that the last one freed.

A batch that does not fit would otherwise end a run that took all night.

    rows = BatchSize(16)
    while waiting:
        batch = waiting[: rows.limit]
        with rows.halved_if_out_of_memory(len(batch)) as attempt:
            ...
        if attempt.succeeded: ...

No batch size changes an answer, so that halving it changes nothing but the time.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

logger = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>
_SIGNS = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


@dataclass
class Attempt:
    """An attempt to run a batch, and whether it fitted into memory."""

    succeeded: bool = False


@dataclass
class BatchSize:
    """The number of rows that a batch may have; it only ever shrinks.

    Example:
        >>> rows = BatchSize(8)
        >>> with rows.halved_if_out_of_memory(8) as attempt:
        ...     raise torch.OutOfMemoryError("CUDA out of memory")
        >>> rows.limit, attempt.succeeded
        (4, False)
    """

    limit: int

    @contextmanager
    def halved_if_out_of_memory(self, rows: int) -> Iterator[Attempt]:
        """Swallows the error of a batch that did not fit, and lowers `limit` for another attempt.

        Args:
            rows: of the batch.

        Raises:
            RuntimeError, MemoryError: the batch was a single row, or memory was not the trouble.
        """
        attempt = Attempt()
        try:
            yield attempt
            attempt.succeeded = True
        except (RuntimeError, MemoryError) as error:
            if rows < 2 or not is_out_of_memory(error):
                raise
            self.limit = min(self.limit, rows // 2)
            logger.warning(
                "a batch of %d rows did not fit into memory: going on with %d "
                "(a smaller --batch_size avoids this)",
                rows,
                self.limit,
            )
        if not attempt.succeeded and torch.cuda.is_available():
            torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of CUDA, of cuBLAS or of the CPU's allocator says that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(sign in str(error) for sign in _SIGNS)


def keep_freed_memory() -> bool:
    """Lets passes on a CPU reuse each other's memory, where the C library can be told to.

    glibc can. By default it gives large blocks back to the kernel as they are freed, and the kernel
    clears every page again for the next pass.

    Returns:
        Whether the C library took it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform != "win32" else None
    if mallopt is None:
        return False
    most = 2**31 - 1
    return bool(mallopt(_M_MMAP_THRESHOLD, most)) and bool(mallopt(_M_TRIM_THRESHOLD, most))
