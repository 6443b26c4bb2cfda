"""Forms of personal data, one line each: bare answers, secrets, numbers, handles, places."""

import json
import re
from dataclasses import replace

import pytest

from tasks.core.params import Deidentify
from tasks.core.records import Call, read_clean, write
from tasks.deidentify.deidentify import deidentify

ANSWERS = [  # question, answer, what must go
    ("What is your phone number?", "4155550134", "4155550134"),
    ("When were you born?", "3rd of may 1990", "3rd of may 1990"),
    ("To verify you, what is your birthday?", "march 12th", "march 12th"),
    ("And your date of birth?", "05031990", "05031990"),
    ("Please confirm the last 4 of your SSN.", "9382", "9382"),
    ("Your passport number?", "x1234567", "x1234567"),
    ("Please type your current password.", "correcthorse", "correcthorse"),
    ("Please enter the one-time code we texted you.", "482913", "482913"),
    ("Who am I speaking with?", "its anna kowalczyk", "kowalczyk"),
    ("Can I get your account number?", "00123987", "00123987"),
    ("What's the security code on the back?", "812", "812"),
    ("When does the card expire?", "09/27", "09/27"),
    ("Please provide the IBAN.", "de89370400440532013000", "de89370400440532013000"),
    ("Wann sind Sie geboren?", "3.5.1990", "3.5.1990"),
    ("¿Cuál es su DNI?", "12345678z", "12345678z"),
    ("Quel est votre numéro de téléphone ?", "06 12 34 56 78", "06 12 34 56 78"),
    ("What is your tax ID?", "12-3456789", "12-3456789"),
    ("What is your medical record number?", "88213", "88213"),
    ("Wie ist Ihre Versichertennummer?", "X569781851", "X569781851"),
    ("Votre numéro d'allocataire ?", "4471829", "4471829"),
    ("Wie lautet das Kennzeichen?", "M-XK 4471", "M-XK 4471"),
    ("What's your number plate?", "AB12 CDE", "CDE"),
    ("Quel est votre pseudo ?", "papy_tracteur62", "papy_tracteur62"),
    ("Wie lautet Ihr Name?", "heike vogelsang", "vogelsang"),
    ("Come si chiama?", "luca de santis", "santis"),
    ("Wie lautet Ihr Kennwort für die Telefonauskunft?", "Sonnenblume42", "Sonnenblume42"),
]
TEXTS = [  # text, what must go
    ("token pk.eyJ1IjoiYWJjZGVmIiwiYSI6ImNrMTIz.AbCdEfGhIjKlMnOpQrStUv", "AbCdEfGhIjKlMnOpQrStUv"),
    ("client_secret=7f3c1f0e-9b1d-4b6f-8c1a-2f0d9e8b7a61", "7f3c1f0e-9b1d-4b6f-8c1a-2f0d9e8b7a61"),
    ("GET https://api.acme.io/v1?key=Zx81kdq9Lm2&x=1", "Zx81kdq9Lm2"),
    ("https://a.blob.core.windows.net/c?sig=aB%2Fc9dEfGh1jKlMn0pQ&se=1", "aB%2Fc9dEfGh1jKlMn0pQ"),
    ("Cookie: sessionid=38afes7a8; csrftoken=u32t4o3tb3gg43", "38afes7a8"),
    ("curl -u mia:Tr0ub4dor https://x.io", "Tr0ub4dor"),
    ("DB_PASS=kx92mmq1", "kx92mmq1"),
    ("export PGPASSWORD='opensesame1'", "opensesame1"),
    ("mysql -uroot -pS3cretPw1 shop", "S3cretPw1"),
    ("your verification code is 482913", "482913"),
    ("mein Kennwort lautet Sonne!23", "Sonne!23"),
    ("SSN no. 521-44-9382", "521-44-9382"),
    ("last four of my social: 9382", "9382"),
    ("born on the 3rd of May, 1990", "3rd of May"),
    ("DOB: May the third, 1990", "third"),
    ("born May 3 '90", "May 3 '90"),
    ("my birthday is May 3rd", "May 3rd"),
    ("my IBAN is DE89 3704 0044 0532 0130 0", "DE89 3704 0044 0532 0130 0"),
    ("iban de89 3704 0044 0532 0130 00", "de89 3704 0044 0532 0130 00"),
    ("user=mia.li%40gmail.com", "mia.li%40gmail"),
    ("write to mia.li @ gmail.com", "mia.li @ gmail"),
    ("the 3 digit code is 812 on my card", "812"),
    ("card expires September 2027", "September 2027"),
    ("visa ending 6467", "6467"),
    ("4539 14** **** 6467", "6467"),
    ("nino ab123456c", "ab123456c"),
    ("my car is 1HGCM82633A004352", "1HGCM82633A004352"),
    ("to bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzw"),
    ("license plate 7ABC123", "7ABC123"),
    ("Tel 001-219-355-4590x4544", "219-355-4590"),
    ("Cell 312.313.6224 ext. 46431", "312.313.6224"),
    ("Kennzeichen B-MK 1234", "MK 1234"),
    ("RSSMRA85M01H501Z", "RSSMRA85M01H501Z"),
    ("call four one five five five five zero one three four", "one five five five five"),
    ("see C:\\Users\\mkowalczyk\\cv.docx", "mkowalczyk"),
    ("CV_Anna_Kowalczyk_2024.pdf", "Kowalczyk"),
    ("Mevrouw De Smet belde gisteren.", "Smet"),
    ("Hartelijke groeten uit het zuiden\n\nMark De Baets", "Baets"),
    ("Unser Hausmeister, Herr Metz, nahm es an.", "Metz"),
    ("My details: Mia Kowalczyk, 12/29/1969, Boston", "12/29/1969"),
    ("Kind regards, Ralf-Dieter Carsten", "Carsten"),
    ("follow @annakowalczyk on insta", "annakowalczyk"),
    ('{"vorname": "Ümit", "plz": "12045", "ort": "Berlin"}', "Ümit"),
    ('{"vorname": "Ümit", "plz": "12045", "ort": "Berlin"}', "Berlin"),
    ("siehe https://portal.example.com/kunden/sabine.kraemer/2026", "kraemer"),
    ("Der Techniker soll nach 86150 Augsburg kommen", "86150 Augsburg"),
    ("adresse: almut-stadelmann-allee 112 96869 delitzsch", "stadelmann"),
    ("Die Anschrift ist Marlen-Bauer-Ring 33 70564 Herford", "70564"),
    ("Rechnung an Unter den Linden 6, 10117 Berlin.", "Linden 6"),
    ("Rua Vergueiro, 1842, 01504-001 São Paulo", "1842"),
    ("Patient: Öztürk, Mehmet", "Öztürk"),
    ("Angemeldet: Ruprecht Zschocke (r.zschocke@posteo.de)", "Ruprecht Zschocke"),
    ("please ask Nguyen Thi Lan about it", "Nguyen"),
    ("Cordiali saluti,\nGiuseppina Lo Cascio\nUfficio acquisti", "Cascio"),
    ("Mevrouw de Groot heeft een groot pakket besteld.", "de Groot"),
    ("La signora Bianca Neri ha scritto ieri.", "Neri"),
    ("Meine Tochter Lena, 22.11.2011, braucht einen Ausweis.", "22.11.2011"),
    ("il mio è 3391204587, scrivetemi lì per la consegna", "3391204587"),
    ("employee no. E-448120", "448120"),
]  # fmt: skip
KEPT = [
    "Sehr geehrte Damen und Herren, Bestellung 4471 ist da. Mit freundlichen Grüßen",
    "Hallo, Siehe SO-375697. Artikel: 9 x graue Schüssel. Beste Grüße",
    "L'ordine 3391204587 risulta spedito, la fattura 3204471182 è allegata.",
    "O pedido 912345678 foi faturado e o rastreio aparece em trânsito.",
    "D/c Foley, ambulate TID. See Iqbal, 556 U.S. at 678.",
    "Betreff: Reklamation Heizlüfter",
    "my password changed and the user name was located",
    "the verification code was not sent, error 4711",
    "npm i @types/node and set max_retries to 3, @Override stays",
    "card ends here, exp of 3 to 5 items per order",
    "four or five of the nine boxes, one at a time",
    "serial 1HGCM82633A004353 of batch 20260302",
    "Murphy sign absent, Babinski negative, McBurney point tender, place foley catheter",
    "Jenkins pipeline red, Cassandra cluster down, Sharpe ratio 1.2, Bell palsy resolving",
    "let us meet @ noon, order SO-482913 ships on May 3rd",
]


def _call(name, user, question="", **more):
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": question}]
    messages = [*(messages if question else ()), {"role": "user", "content": user}]
    request = {"model": "m", "messages": messages} | more
    reply = {"role": "assistant", "content": "ok"}
    return Call(id=name, at=0.0, source=name, request=request, reply=reply, conversation=name)


def hop(folder, calls):
    """All that is said around calls after the hop, by where they come from."""
    write(folder / "calls.parquet", calls)
    (folder / "out").mkdir()
    params = Deidentify(probe=0, damage=1.0)
    deidentify(folder / "calls.parquet", folder / "out", params, key=b"k")
    found = read_clean(folder / "out" / "calls.parquet")
    return {c.source: json.dumps([c.id, c.request], ensure_ascii=False) for c in found}


@pytest.fixture(scope="module")
def after(tmp_path_factory):
    """Every line of the tables after one night."""
    calls = [_call(f"a{i}", answer, q) for i, (q, answer, _) in enumerate(ANSWERS)]
    calls += [_call(f"t{i}", text) for i, (text, _) in enumerate(TEXTS)]
    calls += [_call(f"k{i}", text) for i, text in enumerate(KEPT)]
    return hop(tmp_path_factory.mktemp("forms"), calls)


@pytest.mark.parametrize(("place", "gone"), enumerate(a[2] for a in ANSWERS))
def test_a_bare_answer_is_what_was_asked_for(after, place, gone):
    """The assistant's question says what it is."""
    assert gone not in after[f"a{place}"]


@pytest.mark.parametrize(("place", "gone"), enumerate(t[1] for t in TEXTS))
def test_forms_of_personal_data_go(after, place, gone):
    """Whatever way it is written."""
    assert gone not in after[f"t{place}"]


@pytest.mark.parametrize(("place", "text"), enumerate(KEPT))
def test_what_only_looks_like_it_stays(after, place, text):
    """Ordinary words behind a cue, decorators, ids."""
    assert json.dumps(text, ensure_ascii=False) in after[f"k{place}"]


def test_a_name_that_is_a_word_is_left_where_it_is_the_word(tmp_path):
    """The cook is no Herr Koch, and a small loaf no Madame Petit."""
    texts = [
        "Herr Koch rief an. Ein neuer Vertrag mit dem Koch fehlt noch.",
        "Madame Petit veut un petit pain.",
    ]
    calls = hop(tmp_path, [_call(str(i), text) for i, text in enumerate(texts)])
    assert "Herr Koch" not in calls["0"]
    assert "mit dem Koch fehlt" in calls["0"]
    assert "Madame Petit" not in calls["1"]
    assert "un petit pain" in calls["1"]


def test_an_address_ends_before_the_greeting(tmp_path):
    """What is said around it stays, and an answer that copies it is still a copy."""
    text = "Bitte liefern an Paffrathring 85, 26805 Moers Mit freundlichen Grüßen"
    answer = '{"street": "Paffrathring 85", "zip": "26805", "city": "Moers"}'
    call = replace(_call("0", text), reply={"role": "assistant", "content": answer})
    said = hop(tmp_path, [call])["0"]
    assert re.search(r"Bitte liefern an \w+ring \d+, \d{5} .* Mit freundlichen Grüßen", said)
    assert "Moers" not in said


def test_places_that_nobody_looks_at_are_scanned(tmp_path):
    """Keys, choices, properties, stop words, metadata, names of senders and of files, call ids."""
    who, mail = "Anna Kowalczyk", "anna.kowalczyk@gmail.com"
    shape = {"type": "object", "properties": {"to": {"enum": [mail]}, mail: {"type": "string"}}}
    tool = {"name": "assign", "description": f"Acts for {who}", "parameters": shape}
    sender = {"role": "user", "name": "anna_kowalczyk", "content": json.dumps({mail: 1})}
    calls = [
        _call("tools", "go", tools=[{"type": "function", "function": tool}]),
        _call("stop", "go", stop=[f"{who}:"], metadata={"for": who}, safety_identifier=mail),
        _call("sender", "go", messages=[sender]),
        _call(f"batch-{mail}-17", "go"),
    ]
    found = hop(tmp_path, calls)
    assert len(found) == 4
    assert not [source for source, said in found.items() if "kowalczyk" in said.lower()]


def test_a_value_on_the_border_of_a_long_text_is_found_whole(tmp_path):
    """Without a full stop for a thousand characters, wherever it stands."""
    words = "and then it went on without any stop " * 60
    value = "Anna Kowalczyk anna.kowalczyk@gmail.com +1 415-555-0134"
    calls = [
        _call(str(n), f"{words[:n]} {value} {words}") for n in (430, 455, 470, 480, 490, 940, 960)
    ]
    left = [n for n, said in hop(tmp_path, calls).items() if "owalczyk" in said or "0134" in said]
    assert not left


def test_whoever_stands_under_a_name_key_goes_though_an_example_is_called_so(tmp_path):
    """A tool's description that names Noah Brown makes nobody of that name public."""
    example = 'Passengers, such as {"first_name": "Noah", "last_name": "Brown"}'
    tool = {"name": "book", "description": example, "parameters": {"type": "object"}}
    said = json.dumps({"first_name": "Mei", "last_name": "Brown"})
    call = _call("tool", said, tools=[{"type": "function", "function": tool}])
    (after,) = hop(tmp_path, [call]).values()
    assert "Brown" not in after.partition('"tools"')[0]
