"""Damage: words that are nobody's and were changed, estimated each night, with a limit."""

import msgspec
import pytest

from tasks.core import records, stage
from tasks.core.params import Deidentify
from tasks.core.records import Call, CleanCall
from tasks.core.stage import Refused
from tasks.deidentify.damage import Comparison, Damage, Harm, total
from tasks.deidentify.deidentify import deidentify, judge_damage


def call(name: str, user: str, reply: str = "ok", kind: type[Call] = Call) -> Call:
    messages = [{"role": "system", "content": "Sort."}, {"role": "user", "content": user}]
    answer = {"role": "assistant", "content": reply}
    return kind(id=name, at=0.0, source=f"x:{name}", request={"messages": messages}, reply=answer)


def harm(before: str, after: str, reply: tuple[str, str] = ("ok", "ok")) -> Damage:
    found = Comparison()
    found.note(call("1", before, reply[0]), call("1", after, reply[1], CleanCall))
    return found.by_call()["1"]


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("Die Rechnung ist falsch", "Die Kambs ist falsch", 1),
        ("start aspirin 25 mg today", "start kowalski 31 mg today", 2),
        ("Mein Lieferverzug ist lang", "Mein Havel ist lang", 1),
        ("restart the daemon please", "restart the Nolan please", 1),
        ("My name is Mia Kowalczyk.", "My name is Zoe Lansink.", 0),
        ("I am anna, call 555 1234", "I am zoe, call 555 9876", 0),
        ("Ship to 12 Mill Ave, Spring Lake, AZ 85001", "Ship to 7 Oak Ave, Mesa, AZ 85777", 0),
        ("mail help.desk@acme.org now", "mail ruth.lake@oaks.org now", 0),
        ("nothing changes here", "nothing changes here", 0),
    ],
)
def test_ordinary_words_that_went_are_counted_and_names_are_not(before, after, changed):
    """By dictionary, by unit; not the words of names, addresses and mails."""
    assert harm(before, after).changed == changed


def test_a_word_that_the_log_keeps_elsewhere_is_ordinary():
    """A product that no dictionary knows: it went once and stayed three times."""
    found = Comparison()
    for name, after in enumerate(["the zorblat broke", "a zorblat fell", "my zorblat is old"]):
        found.note(call(str(name), after), call(str(name), after, kind=CleanCall))
    found.note(call("x", "one zorblat more"), call("x", "one lansink more", kind=CleanCall))
    assert total(found.by_call().values()).changed == 1


def test_a_changed_label_is_counted():
    """A short answer whose word went."""
    assert harm("Sortiere das", "Sortiere das", ("Rechnung", "Kambs")).labels_changed == 1
    assert harm("Wer bist du?", "Wer bist du?", ("Mia Kowalczyk", "Zoe Li")).labels_changed == 0


def test_the_limit_stops_the_night_with_a_sentence():
    """Only where the figures are surely above it: a few words of a small log prove nothing."""
    params = Deidentify(damage=0.02)
    judge_damage(Damage(words=100, changed=3), params)
    with pytest.raises(Refused, match=r"changed 400 of 10,000 words .* deidentify.damage 0.02"):
        judge_damage(Damage(words=10_000, changed=400), params)
    with pytest.raises(Refused, match="50 of 100 labels"):
        judge_damage(Damage(words=10_000, labels=100, labels_changed=50), params)


def test_figures_are_kept_by_call_and_in_the_manifest(tmp_path):
    """The datasets read them; the manifest has the sum."""
    calls = [call(str(i), f"Order {i} is late, says Mia Kowalczyk.") for i in range(20)]
    records.write(tmp_path / "calls.parquet", calls)
    out = tmp_path / "out"
    out.mkdir()
    params = msgspec.structs.replace(Deidentify(), probe=0)
    deidentify(tmp_path / "calls.parquet", out, params, key=b"k")
    kept = Harm.read([out / "damage.parquet", tmp_path / "nowhere"])
    assert kept.limit == params.damage
    whole = kept.of(str(i) for i in range(20))
    assert (whole.words, whole.changed) == (140, 0)
    told = (stage.manifest(out) or {})["damage"]
    assert (told["words"], told["changed"], told["share"]) == (140, 0, 0.0)
