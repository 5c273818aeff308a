"""Arguments of requests that only `varlen_dlm` can answer.

Any other model is told so before it generates a token.
"""

from __future__ import annotations

from typing import Any, NoReturn

from eosbench.errors import ConfigurationError

ONLY_HERE = (
    "these tasks measure predictors of an answer's length, which only --model varlen_dlm has; "
    "run other models on the tasks that want an answer (varlen_instruct, gsm8k, ...), and "
    "eosbench report shows them beside it"
)


class BoundArguments(dict[str, Any]):
    """Generation arguments of an EOS upper-bound request.

    Every one of lm-eval's own models copies the arguments of a request, takes out of the copy what
    it knows, and hands on the rest; varlen_dlm takes them as they are. So the copy is the place
    where a model for which they make no sense can be told. To caches and sample logs they are a
    plain dictionary.

    Example:
        >>> import json
        >>> json.dumps(BoundArguments(until=[]))
        '{"until": []}'
    """

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise ConfigurationError(
            f"this model cannot answer an eos_upper_bound request: {ONLY_HERE}"
        )
