"""The pinball loss against scikit-learn's, and what it makes of a head."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_pinball_loss

from eosbench.errors import ConfigurationError
from eosbench.fitting.train import TrainingSettings, train_weights
from eosbench.predictors import build
from eosbench.predictors.heads import LogLengthLoss
from tests.eosbench.toy import CANVAS, toy_backbone


@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.9])
def test_pinball_is_scikit_learn_s(quantile: float) -> None:
    rng = np.random.default_rng(0)
    length_B, output_B = rng.integers(1, 200, 64), rng.normal(3, 1, 64).astype(np.float32)
    own = LogLengthLoss("pinball", quantile)(torch.from_numpy(output_B), torch.from_numpy(length_B))
    assert own.item() == pytest.approx(
        mean_pinball_loss(np.log1p(length_B), output_B, alpha=quantile), rel=1e-5
    )


@pytest.mark.parametrize("method", ["average_regression", "concat_regression"])
def test_a_quantile_is_learnt(method: str) -> None:
    """Features that say nothing: a quantile of the lengths is left to learn; of 1 to 32 nine in ten
    are at most 29.
    """
    backbone = toy_backbone()
    head = build(
        method, backbone=backbone, canvas=CANVAS, options={"loss": "pinball", "quantile": 0.9}
    )
    ((name, kept),) = head.kept.items()  # type: ignore[attr-defined]
    lengths = [1 + index % 32 for index in range(640)]
    train_weights(
        head,
        lambda rows: {name: torch.zeros(len(rows), *kept.shape)},
        lengths,
        settings=TrainingSettings(epochs=40, batch_size=32),
    )  # type: ignore[arg-type]
    with torch.no_grad():
        found = head.log_length({name: torch.zeros(1, *kept.shape)}).expm1().item()  # type: ignore[attr-defined]
    assert 27 <= found <= 31


def test_what_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="loss 'l2': expected one of smooth_l1, pinball"):
        LogLengthLoss("l2", 0.5)
    with pytest.raises(
        ConfigurationError, match="quantile=1: expected a number above 0 and below 1"
    ):
        LogLengthLoss("pinball", 1)
