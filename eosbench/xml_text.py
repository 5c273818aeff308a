"""Text as XML 1.0 can hold it: prompts and names may have any character, XML may not."""

from __future__ import annotations

import re

# The complement of the production Char (https://www.w3.org/TR/xml/#charsets).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(text: str) -> str:
    """The text with a question mark for each character that XML 1.0 cannot hold.

    >>> xml_text("a\\x00b")
    'a?b'
    """
    return _NOT_XML.sub("?", text)
