"""Digests and seeds against the published test vectors of SHA-256: they must never change."""

from __future__ import annotations

from pathlib import Path

import pytest

from eosbench.digest import (
    digest_of_json,
    digest_of_parts,
    seed_from,
    short_digest,
    torch_seed_from,
)

# FIPS 180-4: SHA-256 of no bytes, and of "abc".
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("content", ["abc", b"abc"])
def test_a_short_digest_is_the_start_of_the_published_value(content: str | bytes) -> None:
    assert short_digest("") == EMPTY[:16]
    assert short_digest(content) == ABC[:16]
    assert short_digest(content, digits=8) == ABC[:8]
    assert short_digest(content, digits=64) == ABC


def test_parts_are_joined() -> None:
    assert digest_of_parts([]) == EMPTY[:16]
    assert digest_of_parts(["a", b"b", "c"], digits=64) == ABC


def test_json_has_sorted_keys_and_takes_what_it_does_not_know_as_text() -> None:
    assert digest_of_json({"b": Path("c"), "a": 1}) == short_digest('{"a": 1, "b": "c"}')


def test_seeds_are_the_first_bytes() -> None:
    assert seed_from("abc") == 0xBA7816BF8F01CFEA
    assert torch_seed_from(b"abc") == 0xBA7816BF8F01CF
