"""Copies between the host and the model's device: one each way, however many tensors there are.

A GPU works through what it is given while the host goes on, until the host reads a value back or
hands over memory that may move. Then one waits for the other, and a small model spends more time
waiting than computing. So a pass sends what it needs in one piece, and reads what it chose in one.

Legend: N positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["read_together", "send_together"]


def send_together(device: torch.device, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Tensors of the host on a device, copied as one.

    Args:
        device: on the CPU nothing is copied.
        tensors: int64, of any shapes.

    Example:
        >>> there = send_together(torch.device("cpu"), [torch.tensor([[1, 2]]), torch.tensor(3)])
        >>> [tensor.tolist() for tensor in there]
        [[[1, 2]], 3]
    """
    if device.type == "cpu":
        return list(tensors)
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    if device.type == "cuda":
        flat = flat.pin_memory()  # from pageable memory the host would wait for the copy
    pieces = flat.to(device, non_blocking=True).split([tensor.numel() for tensor in tensors])
    return [piece.view(tensor.shape) for piece, tensor in zip(pieces, tensors, strict=True)]


def read_together(
    chosen: Sequence[tuple[torch.Tensor, torch.Tensor]],
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Token ids [N] and their confidences [N], pairs of them, on the host and copied as one.

    Ids travel in the dtype of the confidences, which holds every id of a vocabulary exactly: whole
    numbers up to 2^24 in float32.

    Example:
        >>> read_together([(torch.tensor([7, 8]), torch.tensor([0.5, 0.25]))])
        [(tensor([7, 8]), tensor([0.5000, 0.2500]))]
    """
    if all(tokens_N.device.type == "cpu" for tokens_N, _ in chosen):
        return list(chosen)
    rows = []
    for tokens_N, confidence_N in chosen:
        rows += [tokens_N.to(confidence_N.dtype), confidence_N]
    read = torch.stack(rows).cpu()
    return [(read[at].long(), read[at + 1]) for at in range(0, len(rows), 2)]
