"""The block `config["eosbench"]` of a results file, as its writer and its readers agree on it.

model_adapters/varlen_dlm/model_info.py writes the block, files.py reads it, and
docs/results-format.md describes every field.
"""

from __future__ import annotations

# A reader skips a file with a higher number: a newer eosbench wrote it.
BLOCK_SCHEMA = 1
# Fields without which the report and the check cannot use a run; dots lead into an object.
REQUIRED_FIELDS: dict[str, type] = {
    "method": str,
    "fingerprint": str,
    "canvas": int,
    "backbone.name": str,
    "costs": dict,
}
# Fields that files of earlier versions lack -> the value that they had then.
LATER_FIELDS: dict[str, object] = {"backbone.attention": "full"}
