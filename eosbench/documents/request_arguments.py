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
    """Generation arguments of an EOS upper-bound request that is not answered yet.

    lm-eval's own models copy the arguments of a request, take out of the copy what they know, and
    hand on the rest; varlen_dlm takes them as they are. So the copy is the place where a model for
    which they make no sense can be told. To caches they are a plain dictionary, and the task makes
    one of them once the request is answered: whoever gets lm-eval's results may copy them.

    Example:
        >>> import json
        >>> json.dumps(BoundArguments(until=[]))
        '{"until": []}'
    """

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise ConfigurationError(
            f"this model cannot answer an eos_upper_bound request: {ONLY_HERE}"
        )
