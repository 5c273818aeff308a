"""Arguments of requests that only `varlen_dlm` can answer: any other model is told so before it
generates a token.
"""

from __future__ import annotations

from typing import Any, NoReturn

from eosbench.errors import ConfigurationError

ONLY_HERE = (
    "these tasks measure predictors of an answer's length, which only --model varlen_dlm has; run other models on the tasks that "
    "want an answer (varlen_instruct, gsm8k, ...), and eosbench report shows them beside it"
)


class BoundArguments(dict[str, Any]):
    """Generation arguments of an EOS upper-bound request.

    lm-eval's own models copy the arguments before they read them, to take out what they know and
    hand on the rest; varlen_dlm reads them as they are. That copy is where a model for which they
    make no sense can be told.

    Example:
        >>> import json
        >>> json.dumps(BoundArguments(until=[]))  # for caches and sample logs it is what it looks like
        '{"until": []}'
    """

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise ConfigurationError(
            f"this model cannot answer an eos_upper_bound request: {ONLY_HERE}"
        )
