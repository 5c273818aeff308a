"""Log-likelihoods of continuations under a masked diffusion language model.

from eosbench.likelihood import log_likelihood
log_likelihood(backbone, prompt_ids, target_ids, mc_num=128)  # nats
"""

from __future__ import annotations

from eosbench.likelihood.likelihood import Likelihood, log_likelihood, log_likelihoods

__all__ = ["Likelihood", "log_likelihood", "log_likelihoods"]
