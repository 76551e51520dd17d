"""Hypothesis strategies derived from the declarations.

The only module here that needs Hypothesis; nothing in the product imports it.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from . import SCHEMAS, encode, encode_fragment
from .declare import Element
from .sampling import Amount, Sampler


def schemas() -> st.SearchStrategy[str]:
    """Return names of schemas."""
    return st.sampled_from(SCHEMAS)


@st.composite
def messages(draw: st.DrawFn, schema: str) -> Element:
    """Return valid messages of ``schema``."""
    return _sampler(draw, schema).message()


@st.composite
def fragments(draw: st.DrawFn, schema: str) -> tuple[str, Any]:
    """Return names and valid contents of elements of ``schema``."""
    return _sampler(draw, schema).fragment()


@st.composite
def mutated_documents(draw: st.DrawFn, schema: str) -> bytes:
    """Return valid documents of ``schema`` with bits flipped, octets cut, put in or repeated."""
    return _mutated(draw, encode(_sampler(draw, schema).message()))


@st.composite
def mutated_fragments(draw: st.DrawFn, schema: str) -> bytes:
    """Return valid fragments of ``schema``, damaged in the same way."""
    return _mutated(draw, encode_fragment(schema, *_sampler(draw, schema).fragment()))


def _sampler(draw: st.DrawFn, schema: str) -> Sampler:
    amount = draw(st.sampled_from(Amount))
    return Sampler(schema, draw(st.randoms(use_true_random=False)), amount)


def _mutated(draw: st.DrawFn, data: bytes) -> bytes:
    octets = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(octets) - 1, 0)))
        match draw(st.sampled_from(('flip', 'set', 'cut', 'insert', 'repeat'))):
            case 'flip' if octets:
                octets[at] ^= 1 << draw(st.integers(0, 7))
            case 'set' if octets:
                octets[at] = draw(st.integers(0, 255))
            case 'cut':
                del octets[at:at + draw(st.integers(1, 8))]
            case 'insert':
                octets[at:at] = draw(st.binary(min_size=1, max_size=8))
            case 'repeat':
                octets[at:at] = octets[at:at + draw(st.integers(1, 16))]
    return bytes(octets)
