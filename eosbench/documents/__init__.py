"""Documents of the benchmarks, the part of an answer that is revealed, and text as token ids."""

from __future__ import annotations

from eosbench.documents.encoding import (
    decode_answer,
    decode_prompt,
    encode_prompt,
    encode_response,
    has_chat_template,
)
from eosbench.documents.instruct import (
    INSTRUCT_VERSION,
    SPLIT_SIZES,
    Instruction,
    instruct_documents,
    instruct_stream,
)
from eosbench.documents.instruct_families import INSTRUCT_FAMILIES, NOT_EXACT
from eosbench.documents.public import (
    DATA_SETS,
    DataSet,
    for_calibration,
    public_documents,
    published_rows,
)
from eosbench.documents.request_arguments import ONLY_HERE, BoundArguments
from eosbench.documents.reveal import FRACTIONS, partly_masked_canvas, revealed_positions
from eosbench.documents.special_names import (
    BEGIN_TOKENS,
    begins_as_template,
    encode_text,
    places_of_names,
    places_of_template,
)
from eosbench.documents.wordlists import NAMES, NOUNS

__all__ = [
    "BEGIN_TOKENS",
    "DATA_SETS",
    "FRACTIONS",
    "INSTRUCT_FAMILIES",
    "INSTRUCT_VERSION",
    "NAMES",
    "NOT_EXACT",
    "NOUNS",
    "ONLY_HERE",
    "SPLIT_SIZES",
    "BoundArguments",
    "DataSet",
    "Instruction",
    "begins_as_template",
    "decode_answer",
    "decode_prompt",
    "encode_prompt",
    "encode_response",
    "encode_text",
    "for_calibration",
    "has_chat_template",
    "instruct_documents",
    "instruct_stream",
    "partly_masked_canvas",
    "places_of_names",
    "places_of_template",
    "public_documents",
    "published_rows",
    "revealed_positions",
]
