"""A body is read for the journal and the student; the teacher gets its bytes."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from serving.request_body import NotPlain, read, unpacked, with_model

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, VALUES, max_size=4), st.booleans(), st.sampled_from([None, 2]))
def test_json_is_read_as_it_is(body: dict[str, Any], ascii_: bool, indent: int | None) -> None:
    """However it is spelled, with a byte order mark or without."""
    written = json.dumps(body, ensure_ascii=ascii_, indent=indent).encode()
    assert read(written) == read(b"\xef\xbb\xbf" + written) == body


def test_only_half_a_surrogate_pair_is_replaced() -> None:
    """Text that spells an escape (JSON in JSON, a path, a regex) stays as it is."""
    tool = json.dumps({"review": "great \U0001f600"})
    text = [
        tool,
        r"C:\udata\ud800dir",
        r"[\ud800-\udfff]",
        "cut \ud83d",
        "\ude00 too",
        "\U0001f600",
    ]
    found = read(json.dumps({"a": text}).encode())["a"]
    assert found == [*text[:3], "cut \ufffd", "\ufffd too", "\U0001f600"]


@pytest.mark.parametrize(
    ("body", "request_"),
    [
        (b'{"a": NaN}', {"a": pytest.approx(float("nan"), nan_ok=True)}),
        (b'{"a": -Infinity}', {"a": float("-inf")}),
        (b'{"a": "caf\xe9"}', {"a": "caf\ufffd"}),
        (b"[1]", None),
        (b"{", None),
        (b"", None),
        (b"\xff\xff", None),
        (b'{"a": ' * 100_000, None),
    ],
)
def test_what_is_not_json_to_the_letter_is_no_students(body: bytes, request_: Any) -> None:
    """What can be read of it is for the journal."""
    with pytest.raises(NotPlain) as caught:
        read(body)
    assert caught.value.request == request_


PACKED = {
    "gzip": gzip.compress(b"body"),
    "x-gzip": gzip.compress(b"bo") + gzip.compress(b"dy"),
    "deflate": zlib.compress(b"body"),
    "br": brotli.compress(b"body"),
    "zstd": zstandard.compress(b"body"),
    "gzip, br": brotli.compress(gzip.compress(b"body")),
    "identity": b"body",
    "": b"body",
}


@pytest.mark.parametrize("encoding", PACKED)
def test_encodings_are_undone(encoding: str) -> None:
    assert unpacked(PACKED[encoding], encoding) == b"body"


def test_deflate_without_its_wrapper_is_read_too() -> None:
    packer = zlib.compressobj(wbits=-15)
    assert unpacked(packer.compress(b"body") + packer.flush(), "deflate") == b"body"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "rot13"])
def test_an_encoding_that_is_untrue_is_a_value_error(encoding: str) -> None:
    with pytest.raises(ValueError, match=encoding):
        unpacked(b"not packed", encoding)


@given(st.dictionaries(TEXT, VALUES, max_size=4), st.booleans(), st.sampled_from([None, 1]), TEXT)
def test_only_the_model_changes(
    body: dict[str, Any], ascii_: bool, indent: int | None, model: str
) -> None:
    """The top-level value is replaced or added; a `model` inside another value is left alone."""
    body = {"a": {"model": "inner"}, **body, "z": '"model": "text"'}
    written = json.dumps(body, ensure_ascii=ascii_, indent=indent).encode()
    assert json.loads(with_model(written, model)) == {**body, "model": model}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"model" : "a" , "x":1.0}', b'{"model" : "M" , "x":1.0}'),
        (b'{"x": "\\ud83d", "model":"a"}', b'{"x": "\\ud83d", "model":"M"}'),
        (b'{"model":{"a":[1,"}"]},"x":NaN}', b'{"model":"M","x":NaN}'),
        (b'{"m\\u006fdel":"a"}', b'{"m\\u006fdel":"M"}'),
        (b'{"model":"a","model":"b"}', b'{"model":"M","model":"M"}'),
        (b'\xef\xbb\xbf{"model": null\n}', b'\xef\xbb\xbf{"model": "M"\n}'),
        (b'{"x":"caf\xe9"}', b'{"model": "M", "x":"caf\xe9"}'),
        (b"{}", b'{"model": "M"}'),
        (b"no JSON", b"no JSON"),
        (b"", b""),
    ],
)
def test_every_other_byte_stays(before: bytes, after: bytes) -> None:
    assert with_model(before, "M") == after
