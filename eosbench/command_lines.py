"""Lines that a message tells its reader to type, so that they work when typed."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

# Commas part the pairs, brackets and quotes are read as values of Python, and blanks are cut off.
_NOT_IN_PAIRS = re.compile(r"""[,\[\](){}'"\\]|^\s|\s$|^$""")
# Texts that lm-eval would take for a value of another type: the folder `10`.
_OTHER_TYPE = re.compile(r"[\d.+-].*|true|false|none|nan|inf(inity)?", re.IGNORECASE)


def command_line(*words: object) -> str:
    """The words as one line for a shell.

    >>> command_line("eosbench", "report", "my results")
    "eosbench report 'my results'"
    """
    return shlex.join(map(str, words))


def model_args_text(**given: Any) -> str:
    """The value of lm-eval's --model_args that says `given`.

    It is name=value,name=value, and JSON where a value would not come through that.

    >>> model_args_text(method="logit", max_gen_toks=256)
    'method=logit,max_gen_toks=256'
    >>> model_args_text(predictor="heads/a,b")
    '{"predictor": "heads/a,b"}'
    """
    for value in given.values():
        is_other = isinstance(value, str) and _OTHER_TYPE.fullmatch(value)
        if is_other or _NOT_IN_PAIRS.search(str(value)):
            return json.dumps(given)
    return ",".join(f"{name}={value}" for name, value in given.items())
