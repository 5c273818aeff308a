"""Log-likelihoods of continuations under a masked diffusion language model.

from eosbench.likelihood import log_likelihood
log_likelihood(backbone, prompt_ids, target_ids, mc_num=128)  # nats
"""

from __future__ import annotations

from eosbench.likelihood.likelihood import (
    Likelihood,
    ScoredPair,
    log_likelihood,
    log_likelihoods,
    score_pairs,
)

__all__ = ["Likelihood", "ScoredPair", "log_likelihood", "log_likelihoods", "score_pairs"]
