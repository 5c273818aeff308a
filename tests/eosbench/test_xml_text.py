"""What `xml_text` returns can stand in an XML file, and all that already could is untouched."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from eosbench.xml_text import xml_text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_can_be_written_and_read_back(text: str) -> None:
    element = ElementTree.Element("text", value=xml_text(text))
    read = ElementTree.fromstring(ElementTree.tostring(element)).attrib["value"]
    assert read == xml_text(text) and len(read) == len(text)


def test_what_xml_cannot_hold_becomes_a_question_mark() -> None:
    assert xml_text("a\x00b\x1b[0m\ud800\uffff") == "a?b?[0m??"
    assert xml_text("tab\t line\n é 漢 😀") == "tab\t line\n é 漢 😀"
