"""What leaves the third hop: nothing personal, nothing broken, templates and labels untouched."""

import gzip
import json
import re
import stat
from pathlib import Path

import pytest

from tasks.core import stage
from tasks.core.params import Deidentify
from tasks.core.records import Call, read_clean, read_rejected, write
from tasks.core.stage import Refused
from tasks.deidentify.cleaner import norm
from tasks.deidentify.conversations import sealed
from tasks.deidentify.deidentify import deidentify, judge, load_key, probe
from tasks.deidentify.languages import frequency
from tasks.deidentify.leak_check import Originals, leaks
from tasks.deidentify.wordlists import pool
from tasks.report.review import sample

KEY = b"k" * 32
RULES = Deidentify(ner="none", probe=0)
SYSTEM = "You extract order details. Answer with JSON. Contact: help@shop.example"


def call(name, user, reply="ok", system=SYSTEM, **more):
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    request = {"model": "m", "messages": messages} | more.pop("request", {})
    answer = reply if isinstance(reply, dict) else {"role": "assistant", "content": reply}
    return Call(id=name, at=0.0, source=f"x:{name}", request=request, reply=answer, **more)


def clean(tmp_path: Path, calls, params=RULES, key=KEY):
    out = tmp_path / "out"
    out.mkdir(parents=True, exist_ok=True)
    write(tmp_path / "calls.parquet", calls)
    counts = deidentify(tmp_path / "calls.parquet", out, params, key=key)
    return counts, list(read_clean(out / "calls.parquet"))


def user_text(found):
    return found.request["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("de", "Guten Tag, ich heiße Dietmar Lachmann und warte auf die Lieferung."),
        ("es", "Hola, me llamo Ramiro Echeverría y espero la entrega desde ayer."),
        ("fr", "Bonjour, je m'appelle Thierry Lachaume et j'attends la livraison."),
        ("it", "Buongiorno, mi chiamo Ettore Bergamini e aspetto ancora la consegna."),
        ("nl", "Hallo, mijn naam is Joost Verhagen en ik wacht nog op de levering."),
        ("pt", "Olá, o meu nome é Joaquim Mascarenhas e espero pela entrega desde ontem."),
    ],
)
def test_a_person_gets_a_name_of_the_language_that_is_written(tmp_path, code, said):
    """Whatever the prompt is written in, and the client, the hint and the metadata beside it."""
    beside = {"client": "billing service", "hint": "order form", "request": {"user": "app"}}
    calls = [call(str(n), f"{said} ({n})", conversation=f"c{n}", **beside) for n in range(8)]
    _, found = clean(tmp_path, calls, Deidentify(probe=0))
    known = {name for role in ("male", "female", "family") for name in pool(f"{role} {code}")}
    for one in found:
        changed = set(re.findall(r"[^\W\d_]+", user_text(one))) - set(re.findall(r"\w+", said))
        assert len(changed) == 2
        assert changed <= known


def test_prompt_arguments_results_and_reply_share_their_surrogates(tmp_path):
    """A value copied from the prompt is still a copy, in every place of the conversation."""
    person = {
        "first_name": "Mia",
        "last_name": "Li",
        "email": "mia.li@gmail.com",
        "dob": "1990-05-03",
    }
    arguments = json.dumps({"user_id": "mia_li_3668", "order_id": "#W1234567"})
    turn = call(
        "1", "I am mia_li_3668, my e-mail is mia.li@gmail.com", "Hello Mia, born 3 May 1990."
    )
    tool = {"name": "get_user", "arguments": arguments}
    turn.request["messages"] += [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": tool}],
        },
        {"role": "tool", "tool_call_id": "c1", "name": "get_user", "content": json.dumps(person)},
    ]
    _, (found,) = clean(tmp_path, [turn])
    told = json.loads(found.request["messages"][-1]["content"])
    given_name, family, email = told["first_name"], told["last_name"], told["email"]
    assert {given_name, family}.isdisjoint({"Mia", "Li"})
    assert email == f"{given_name}.{family}@gmail.com".lower()
    assert email in found.request["messages"][1]["content"]
    assert found.reply["content"].startswith(f"Hello {given_name}")
    called = json.loads(found.request["messages"][2]["tool_calls"][0]["function"]["arguments"])
    assert called["order_id"] == "#W1234567"
    assert called["user_id"].startswith(f"{given_name}_{family}_".lower())
    assert called["user_id"] in found.request["messages"][1]["content"]
    assert told["dob"] != "1990-05-03"
    assert found.request["messages"][3]["name"] == "get_user"


def test_the_same_key_gives_the_same_bytes_and_another_key_another_text(tmp_path):
    """The hop is a function of input, params and key."""
    calls = [
        call("1", "write to mia.li@gmail.com"),
        call("2", "SSN: 521-44-9382", conversation="c"),
    ]
    _, first = clean(tmp_path / "a", calls)
    _, again = clean(tmp_path / "b", calls)
    _, other = clean(tmp_path / "c", calls, key=b"x" * 32)
    assert first == again
    assert (tmp_path / "a/out/calls.parquet").read_bytes() == (
        tmp_path / "b/out/calls.parquet"
    ).read_bytes()
    assert [user_text(c) for c in first] != [user_text(c) for c in other]


def test_a_name_of_a_clean_conversation_lets_nothing_pass(tmp_path):
    """Names of clean conversations are no secret: a raw call that has one is cleaned as any."""
    text = "write to mia.li@gmail.com, born 1990-05-03"
    known = sealed(KEY, "a")
    _, (found,) = clean(tmp_path, [call("1", text, conversation=known)])
    assert "mia.li@gmail.com" not in user_text(found)
    assert found.conversation == sealed(KEY, known)


def test_lines_that_everybody_has_keep_their_names(tmp_path):
    """A template that was mined from clean calls still matches production."""
    header = "[request {:08x}] Today is Monday 01 September 2025.\n\n" + SYSTEM
    body = "Our office: 12 Baker Street. Boss: boss@shop.example\n\nMy e-mail: u{}@gmail.com"
    calls = [call(str(i), body.format(i), system=header.format(i * 7919)) for i in range(25)]
    _, found = clean(tmp_path, calls)
    for before, after in zip(calls, found, strict=True):
        assert after.request["messages"][0] == before.request["messages"][0]
        assert user_text(after).startswith("Our office: 12 Baker Street. Boss: boss@shop.example")
        assert user_text(after) != user_text(before)


def test_a_system_line_that_names_the_customer_is_no_template(tmp_path):
    """What varies from person to person is replaced, in the system prompt too."""
    calls = [call(str(i), f"hi {i}", system=f"Shop.\nCustomer: u{i}@gmail.com") for i in range(30)]
    _, found = clean(tmp_path, calls)
    for i, after in enumerate(found):
        assert f"u{i}@gmail.com" not in after.request["messages"][0]["content"]
        assert after.request["messages"][0]["content"].startswith("Shop.\nCustomer: ")


def test_whoever_bears_a_firms_given_name_is_replaced(tmp_path):
    """The firm stays, and so do words of it that are nobody's name."""
    firm = "You are the assistant of Assicura Serena S.p.A., an Italian insurer."
    calls = [call(str(i), "Hi, this is Serena, where is my refund?", system=firm) for i in (1, 2)]
    _, found = clean(tmp_path, calls, Deidentify(probe=0))
    for after in found:
        system, user = (message["content"] for message in after.request["messages"])
        assert system == firm
        assert "Serena" not in user


def test_schemas_and_labels_survive(tmp_path):
    """Tool schemas are not touched, and a value of an enum stays that value."""
    schema = {
        "type": "object",
        "properties": {"street": {"enum": ["12 Baker Street", "9 Elm Street"]}},
    }
    tools = [{"type": "function", "function": {"name": "pick", "parameters": schema}}]
    reply = json.dumps({"street": "12 Baker Street"})
    turn = call(
        "1", "the one at 12 Baker Street, I am a@gmail.com", reply, request={"tools": tools}
    )
    _, (found,) = clean(tmp_path, [turn])
    assert found.request["tools"] == tools
    assert found.reply["content"] == reply
    assert "12 Baker Street" in user_text(found)


def test_ids_that_a_task_copies_are_left_alone(tmp_path):
    """Orders, tickets, UUIDs, hashes, dates and plain numbers are no personal data."""
    text = (
        "order #W2378156, TCK-48211, 9872345610, 2024-05-17, INC0012345, HAT082, "
        "1Z999AA10123456784, 123e4567-e89b-12d3-a456-426614174000, 9f86d081884c7d65, 4.5, "
        "19.99, 10:30, credit_card_1245537"
    )
    reply = json.dumps(
        {"order_id": "#W2378156", "item_id": "9872345610", "at": "2024-05-17T10:30:00"}
    )
    _, (found,) = clean(tmp_path, [call("1", text, reply)])
    assert user_text(found) == text
    assert found.reply["content"] == reply


SECRETS = [
    "sk-proj-Ab12Cd34Ef56Gh78Ij90Kl12", "ghp_" + "a1B2" * 9, "AKIAIOSFODNN7EXAMPLE",
    "xoxb-123456789012-abcdefGHIJ", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVPmB92K27",
    "AIza" + "Sy1_" * 8 + "abc", "glpat-12345678901234567890", "521-44-9382", "4539 1488 0343 6467",
    "GB29NWBK60161331926819", "hunter2!pass",
]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_replaced_everywhere(tmp_path, secret):
    """In prose, in JSON, in arguments, in a line that everybody has."""
    lead = "password: " if "hunter" in secret else ""
    line = f"Use {lead}{secret} to log in."
    body = json.dumps({"note": line, "list": [line]})
    calls = [call(str(i), body, line, system=f"Always.\n{line}") for i in range(21)]
    _, found = clean(tmp_path, calls)
    text = json.dumps([[c.request, c.reply] for c in found])
    assert secret not in text
    assert json.loads(user_text(found[0])).keys() == {"note", "list"}
    assert len({c.request["messages"][0]["content"] for c in found}) == 1


def test_a_text_in_a_language_that_is_not_read_is_set_aside_under_its_name(tmp_path):
    """Russian, Chinese and Polish do not pass; a single sign and a supported language do."""
    calls = [call("1", "меня зовут Иван"), call("2", "the angle π is 3.14"), call("3", "我叫李娜")]
    calls.append(call("4", "Gdzie jest moja paczka, dlaczego jeszcze jej nie ma?"))
    calls.append(call("5", "Die Lieferung kam zu spät, bitte erstatten Sie den Betrag."))
    counts, found = clean(tmp_path, calls)
    assert counts.dropped == {"language: Russian": 1, "language: Chinese": 1, "language: Polish": 1}
    assert [c.id for c in found] == ["2", "5"]
    reasons = {r.reason for r in read_rejected(tmp_path / "out/quarantine.parquet")}
    assert reasons == set(counts.dropped)
    assert "Иван" not in (tmp_path / "out/quarantine.parquet").read_bytes().decode(errors="ignore")
    counts, _ = clean(
        tmp_path / "b", calls, Deidentify(ner="none", probe=0, other_languages="pass")
    )
    assert counts.kept == 5


@pytest.mark.parametrize("word", ["d'a", "o'e'", "'"])
def test_a_word_of_single_letters_is_unknown(word):
    """What is joined of letters by apostrophes, as typed in a hurry, is as common as no word."""
    assert frequency(word, "it") == 0


def test_an_address_stays_coherent_when_the_reply_splits_it(tmp_path):
    """Street, city and zip of the answer are still the ones of the question."""
    reply = {
        "street": "742 Evergreen Terrace",
        "city": "Springfield",
        "state": "IL",
        "zip": "62704",
    }
    turn = call(
        "1", "ship to 742 Evergreen Terrace, Springfield, IL 62704 please", json.dumps(reply)
    )
    counts, (found,) = clean(tmp_path, [turn])
    told = json.loads(found.reply["content"])
    asked = user_text(found)
    assert counts.dropped == {}
    assert all(norm(value) in norm(asked) for value in told.values())
    assert "Evergreen" not in asked
    assert told["state"] == "IL"


def test_the_manifest_tells_types_and_detectors_and_no_text(tmp_path):
    """Counts only."""
    clean(tmp_path, [call("1", "a@gmail.com and b@gmail.com")])
    found = stage.manifest(tmp_path / "out")
    assert found is not None
    assert found["entities"]["EMAIL_ADDRESS"] == 2
    assert "gmail" not in json.dumps(found)


def test_what_an_earlier_night_scanned_is_not_scanned_again(tmp_path, monkeypatch):
    """The cache holds spans under keyed names, no text; with it the output is the same."""
    calls = [call("1", "write to mia.li@gmail.com")]
    write(tmp_path / "calls.parquet", calls)
    cache, made = tmp_path / "cache" / "spans", []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        deidentify(tmp_path / "calls.parquet", tmp_path / name, RULES, key=KEY, cache=cache)
        made.append((tmp_path / name / "calls.parquet").read_bytes())
        monkeypatch.setattr(
            "tasks.deidentify.detectors.Detector.scan", lambda self, texts: [[] for _ in texts]
        )
    assert made[0] == made[1]
    assert b"gmail" not in gzip.decompress(cache.read_bytes())


def test_originals_are_searched_for_in_what_leaves(tmp_path):
    """A file that holds a replaced value is named; the value is not, and needs the key."""
    clean(tmp_path, [call("1", "card 4539 1488 0343 6467, mail mia.li@gmail.com")])
    originals = Originals.load([tmp_path / "out"], KEY)
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    (artifacts / "good.html").write_text("<p>order #W2378156, 2024-05-17</p>")
    (artifacts / "log.txt").write_text("sent to Mia.Li@gmail.com.")
    with gzip.open(artifacts / "rows.jsonl.gz", "wt") as file:
        file.write('{"text": "4539148803436467"}')
    write(artifacts / "calls.parquet", [call("2", "card 4539-1488-0343-6467")])
    found = leaks([artifacts, tmp_path / "out"], originals)
    assert {leak.path.name for leak in found} == {"log.txt", "rows.jsonl.gz", "calls.parquet"}
    assert b"gmail" not in (tmp_path / "out/replaced.bin").read_bytes()
    assert leaks([artifacts], Originals.load([tmp_path / "out"], b"other")) == []


def test_the_probe_measures_recall_and_the_floor_stops_the_night(tmp_path):
    """Injected values of each type; a type below its floor is named, and nothing is written."""
    calls = [call(str(i), f"Order {i} is late.") for i in range(5)]
    found = probe(calls, Deidentify(ner="none", probe=8), KEY, seed=1)
    assert found["EMAIL_ADDRESS"].recall == 1.0
    assert found["EMAIL_ADDRESS"].low < 1.0 == found["EMAIL_ADDRESS"].high
    judge(found, Deidentify(ner="none"))
    with pytest.raises(Refused, match="PERSON"):
        judge(found, Deidentify())
    with pytest.raises(Refused, match="below the floor"):
        clean(tmp_path, calls, Deidentify(ner="none", probe=8, floor=1.1))
    assert not (tmp_path / "out/calls.parquet").exists()


def test_a_reviewer_sees_before_and_after(tmp_path):
    """Each string with its findings, and a table by type and detector."""
    calls = [call("1", "write to mia.li@gmail.com", "ok")]
    (shown,), table = sample(calls, RULES, KEY, 20)
    assert "mia.li@gmail.com" in shown.before
    assert "mia.li@gmail.com" not in shown.after
    assert shown.findings[0][0] == "EMAIL_ADDRESS"
    assert "mia.li@gmail.com" in shown.excerpts[0]
    assert "mia.li" not in shown.excerpts[1]
    assert sum(table.values()) == 1


def test_another_detector_than_the_known_ones_is_refused(tmp_path):
    """No detector, no data."""
    with pytest.raises(Refused, match="frobnicate"):
        clean(tmp_path, [call("1", "hi")], Deidentify(ner="frobnicate"))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_the_key_comes_from_the_environment_or_a_private_file(tmp_path, monkeypatch):
    """A file that others can read, or that a full disk left empty, is refused."""
    monkeypatch.delenv("FLYWHEEL_PII_KEY", raising=False)
    key = load_key(tmp_path)
    assert key == load_key(tmp_path)
    assert stat.S_IMODE((tmp_path / "pii.key").stat().st_mode) == 0o600
    (tmp_path / "pii.key").chmod(0o644)
    with pytest.raises(Refused, match="chmod"):
        load_key(tmp_path)
    (tmp_path / "pii.key").chmod(0o600)
    (tmp_path / "pii.key").write_bytes(b"")
    with pytest.raises(Refused, match="is empty; restore it"):
        load_key(tmp_path)
    monkeypatch.setenv("FLYWHEEL_PII_KEY", "from the environment")
    assert load_key(tmp_path) == b"from the environment"
