"""What a surrogate promises: same type, same shape, the same everywhere in a conversation."""

import re
from collections import Counter
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.deidentify.date_shift import shifted
from tasks.deidentify.keyed_random import luhn
from tasks.deidentify.patterns import STATES
from tasks.deidentify.surrogates import Surrogates
from tasks.deidentify.wordlists import fold, like, pool, roles, slip, words

KEY = b"k" * 32
EXAMPLES = [
    ("PERSON", "Mia Li"),
    ("PERSON", "Dr. J. van der Berg"),
    ("EMAIL_ADDRESS", "mia.li2290@gmail.com"),
    ("USERNAME", "mia_li_3668"),
    ("PHONE_NUMBER", "+34 612 345 678"),
    ("ADDRESS", "742 Evergreen Terrace, Springfield, IL 62704"),
    ("ZIP_CODE", "62704-1234"),
    ("BIRTH_DATE", "May 3rd, 1990"),
    ("CREDIT_CARD", "4539 1488 0343 6467"),
    ("CARD_LAST_FOUR", "6467"),
    ("IBAN_CODE", "GB29 NWBK 6016 1331 9268 19"),
    ("IP_ADDRESS", "81.2.69.142"),
    ("IP_ADDRESS", "2001:db8:85a3::8a2e:370:7334"),
    ("MAC_ADDRESS", "00:1B:44:11:3A:B7"),
    ("SECRET", "sk-proj-abcdef1234567890ABCD"),
    ("US_SSN", "521-44-9382"),
    ("ID_NUMBER", "AHC-0933289"),
]


def people(name: str = "c") -> Surrogates:
    return Surrogates(KEY, name)


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_a_surrogate_differs_keeps_its_shape_and_is_always_the_same(kind, text):
    """Letters stay letters, digits digits; the same again in another run."""
    mine = people()
    fresh = mine.of(kind, text)
    assert fresh != text
    assert mine.of(kind, text) == fresh == people().of(kind, text)
    kinds = [
        re.sub(r"[^\W\d_]+(?: [^\W\d_]+)*", "a", re.sub(r"\d+", "0", t)) for t in (text, fresh)
    ]
    assert kinds[0] == kinds[1] or kind in {"SECRET", "ID_NUMBER", "IP_ADDRESS", "MAC_ADDRESS"}


@pytest.mark.parametrize("state", STATES.split("|"))
def test_every_state_has_towns_to_draw_from(state):
    """Of territories and the army's postal codes there is no list: their country's towns do."""
    address = f"12 Oak St, Somewhere, {state} 00901"
    fresh = people().of("ADDRESS", address)
    assert fresh.endswith(tuple("0123456789"))
    assert "Somewhere" not in fresh


def test_another_conversation_or_key_gives_another_surrogate():
    """Nobody can join two conversations by their surrogates."""
    mine = people("a").of("PERSON", "Mia Li")
    assert mine != people("b").of("PERSON", "Mia Li")
    assert mine != Surrogates(b"x" * 32, "a").of("PERSON", "Mia Li")


def test_the_forms_of_a_name_stay_one_person():
    """Full name, given name, upper case, initial, e-mail and user name share their words."""
    mine = people()
    first, last = mine.of("PERSON", "Mia Li").split()
    assert mine.of("PERSON", "MIA") == first.upper()
    assert mine.of("PERSON", "Li") == last
    assert mine.of("PERSON", "M. Li") == f"{first[0]}. {last}"
    assert mine.of("EMAIL_ADDRESS", "mia.li@gmail.com") == f"{first}.{last}@gmail.com".lower()
    assert mine.of("USERNAME", "mli_77").startswith(f"{first[0]}{last}".lower())


def test_two_people_never_become_one():
    """Surrogate words of one conversation are distinct, and none stays as it was."""
    mine = people()
    names = sorted({*words("names female")[:200], *words("names family")[:200]})
    fresh = [mine.of("PERSON", w) for w in names]
    assert len(set(fresh)) == len(names)
    assert all(a != b for a, b in zip(names, fresh, strict=True))


def test_a_given_name_becomes_a_given_name_of_the_same_kind():
    """Role comes from the word itself, not from its position."""
    fresh = people().of("PERSON", "Maria Schneider").split()
    assert [roles()[fold(w)] for w in fresh] == ["female", "family"]


def test_an_address_and_its_parts_stay_coherent():
    """Split, in upper case or in another order: the same words; a typo is as much of one."""
    mine = people()
    whole = mine.of("ADDRESS", "742 Evergreen Terrace, Apt 4B, Springfield, IL 62704")
    street, unit, city, state = whole.split(", ")
    assert mine.of("ADDRESS", "742 Evergreen Terrace") == street
    assert mine.of("ADDRESS", "Springfield") == city
    assert mine.of("ADDRESS", "SPRINGFIELD") == city.upper()
    assert mine.of("ADDRESS", "Sprngfield") == city[:3] + city[4:]
    assert mine.of("ZIP_CODE", "62704") == state.split()[1]
    assert state.startswith("IL ")
    assert unit.startswith("Apt ")
    assert street.endswith("Terrace")


def test_a_phone_number_is_the_same_in_any_writing():
    """Country and area stay, the last digits change alike."""
    mine = people()
    written = [mine.of("PHONE_NUMBER", t) for t in ("+1 (555) 123-4567", "5551234567")]
    assert re.sub(r"\D", "", written[0])[-10:] == written[1]
    assert mine.of("PHONE_NUMBER", "+34 612 345 678").startswith("+34 612 ")


def test_a_card_passes_its_checksum_and_its_last_four_agree():
    """The card that ends in 6467 is still the same card."""
    mine = people()
    card = mine.of("CREDIT_CARD", "4539 1488 0343 6467")
    assert luhn(card.replace(" ", ""))
    assert card[-4:] == mine.of("CARD_LAST_FOUR", "6467")


@pytest.mark.parametrize(
    ("text", "days", "moved"),
    [
        ("1990-05-03", 30, "1990-06-02"),
        ("May 3rd, 1990", 30, "June 2nd, 1990"),
        ("3 may 1990", -3, "30 april 1990"),
        ("03.05.90", 1, "04.05.90"),
        ("05/03/1990", 1, "05/04/1990"),
        ("23/05/1990", 1, "24/05/1990"),
        ("12 Dec 1999", 31, "12 Jan 2000"),
        ("no date", 1, None),
        ("1990-13-45", 1, None),
    ],
)
def test_a_date_moves_and_keeps_its_form(text, days, moved):
    """One offset, whatever the writing."""
    assert shifted(text, days) == moved


def test_a_date_keeps_the_order_of_its_language():
    """In April for a German, in March for an American."""
    assert shifted("03/04/1990", 30, day_first=True) == "03/05/1990"
    assert shifted("03/04/1990", 30) == "04/03/1990"
    assert shifted("03/14/1990", 1, day_first=True) == "03/15/1990"


def test_mail_stays_with_a_provider_of_many_countries_and_streets_named_after_people_stay_so():
    """yahoo.de is as public as yahoo.com; Konrad-Adenauer-Straße keeps its two names."""
    some = people()
    some.language = "de"
    assert some.of("EMAIL_ADDRESS", "mia.li@yahoo.de").endswith("@yahoo.de")
    street = some.of("ADDRESS", "Konrad-Adenauer-Straße 4, 50667 Köln")
    assert re.match(r"\w+-\w+-Straße \d", street)
    assert "Adenauer" not in street


@given(st.dates(date(1920, 1, 1), date(2020, 1, 1)), st.integers(-180, 180))
def test_all_forms_of_a_date_move_alike(day, days):
    """The same day in another form is the same other day."""
    iso = shifted(day.isoformat(), days)
    long = shifted(f"{day:%B} {day.day}, {day.year}", days)
    assert iso is not None
    moved = date.fromisoformat(iso)
    assert long == f"{moved:%B} {moved.day}, {moved.year}"


@given(st.sampled_from([k for k, _ in EXAMPLES]), st.text(min_size=1, max_size=40))
def test_any_text_has_a_surrogate(kind, text):
    """Whatever a detector marks, it can be replaced, twice alike."""
    mine = people()
    assert mine.of(kind, text) == mine.of(kind, text) == people().of(kind, text)


@given(st.text("abcde", min_size=5, max_size=8), st.integers(0, 7))
def test_a_lost_letter_is_a_slip(word, at):
    """One letter less is a typo, but never of the first letter."""
    at = 1 + at % (len(word) - 1)
    assert slip(word, word[:at] + word[at + 1 :])


def test_case_is_taken_from_the_model():
    """A name in capitals is replaced by capitals."""
    assert [like(m, "Anna") for m in ("mia", "MIA", "Mia")] == ["anna", "ANNA", "Anna"]


@pytest.mark.parametrize(
    ("language", "text", "kept"),
    [
        ("en", "742 Mill Ave, Phoenix, AZ 85001", r"\d+ [A-Z][\w ]+ Ave, [A-Z][\w ]+, AZ \d{5}"),
        ("en", "12 old oak rd san jose ca 95112", r"\d+ [a-z ]+ rd [a-z ]+ ca \d{5}"),
        ("en", "10 High Street, Leeds LS1 4AB", r"\d+ [\w ]+ Street, \w.* [A-Z]{2}\d \d[A-Z]{2}"),
        ("de", "Goethestraße 12, 10115 Berlin", r"[A-ZÖÜ]\w+straße \d+, \d{5} [A-ZÄÖÜ][\w -]+"),
        ("fr", "12 bis, rue de la Paix, 75002 Paris", r"\d+ bis, rue de la .+, \d{5} \w.+"),
        ("es", "Calle Mayor 12, 3º B, 28013 Madrid", r"Calle .+ \d+, \dº B, \d{5} \w.+"),
        ("it", "Via Giuseppe Garibaldi 5, 20121 Milano", r"Via .+ \d, \d{5} \w.+"),
        ("nl", "Keizersgracht 123, 1015 CJ Amsterdam", r"\w+gracht \d+, \d{4} [A-Z]{2} \w.+"),
        ("pt", "Rua da Liberdade 22, 1250-142 Lisboa", r"Rua da .+ \d+, \d{4}-\d{3} \w.+"),
    ],
)
def test_an_address_becomes_one_of_the_same_country(language, text, kept):
    """A common street, a real town (of the state), the kind of street, codes in their form."""
    fresh = Surrogates(KEY, "c", language).of("ADDRESS", text)
    assert re.fullmatch(kept, fresh)
    assert not {w for w in re.findall(r"[^\W\d_]{4,}", text) if w in fresh.split()} - KINDS


KINDS = {"Street", "Calle"}


def test_common_words_are_drawn_more_often_and_in_the_language():
    """As production has them: a tenth of the names and streets stand for a third of the draws."""
    drawn = [Surrogates(KEY, str(i), "de").of("PERSON", "Petra Kowalczyk") for i in range(400)]
    first = Counter(name.split()[0] for name in drawn)
    top = set(pool("female de")[: len(pool("female de")) // 10])
    assert 0.25 < sum(first[name] for name in top) / 400 < 0.45
    assert set(first) <= set(pool("female de"))


def test_a_typo_of_a_name_or_town_stays_a_typo():
    """The surrogate is as mistyped as the original was, and right where that is right."""
    mine = people()
    assert mine.of("ADDRESS", "Pheonix") != (right := mine.of("ADDRESS", "Phoenix"))
    assert sorted(mine.of("ADDRESS", "Pheonix")) == sorted(right)


def test_no_surrogate_is_a_real_name_of_the_same_conversation():
    """Common names would soon meet: nobody becomes somebody who is there."""
    common = pool("family en")[:300]
    mine = people()
    mine.meet(common)
    drawn = [mine.of("PERSON", f"Mia {name}").split()[1] for name in common]
    assert set(drawn).isdisjoint(common)
