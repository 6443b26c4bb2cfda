"""What the benchmarks of de-identification measure."""

import json

import pytest

from benchmarks.deidentify import covered, ours


@pytest.mark.parametrize(
    ("text", "mail"),
    [
        ('{"id": 7, "note": "two\\nlines", "email": "mia.li@gmail.com"}', "mia.li@gmail.com"),
        ('Rows: [{"a": "x"}, {"a": "ask mia.li@gmail.com"}] and so on', "mia.li@gmail.com"),
        (json.dumps({"a": 'Grüße\n"zitiert" von mia.li@gmail.com'}), "mia.li@gmail.com"),
        ("plain mia.li@gmail.com text", "mia.li@gmail.com"),
        ('{"inner": "{\\"mail\\": \\"mia.li@gmail.com\\"}"}', "mia.li@gmail.com"),
    ],
)
def test_findings_are_compared_by_their_place_in_the_text(text, mail):
    """Not by their place in a JSON string: labels count from the text's start."""
    (found,) = ours("none")([text])
    start = text.index(mail)
    assert covered((start, start + len(mail), "EMAIL_ADDRESS"), found)
    assert [text[a:b] for a, b, kind in found if kind == "EMAIL_ADDRESS"] == [mail]
