# ruff: noqa: E501, SIM905 - a phrase reads best on one line, a list of words as text
"""The sample agent's desk in German: five of its kinds of calls, for `python -m benchmarks.skew`.

`german` asks in German throughout; `mixed` has the sample agent's English prompts and answers, and
every other customer writes German. Templates have (alternatives|like these) and {slots}, as those
of `examples.texts`; answers are what the phrase was drawn for, 2 % of them another's.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from benchmarks import growth
from examples import desk, prompts
from examples.wording import Voice
from tasks.core.records import CleanCall

ROUTE = {
    "order_status": (
        "wo bleibt (meine Bestellung|mein Paket|die {product}|Auftrag {order})?",
        "(ist|wurde) (Bestellung {order}|mein Paket) schon (verschickt|unterwegs)?",
        "wann (kommt|trifft) (meine Lieferung|{order}|das Paket) (an|bei mir ein)",
        "ich warte (noch immer|seit {weekday}) auf (meine Bestellung|{order})",
        "die Sendungsverfolgung (steht|bewegt sich nicht) seit {days} Tagen",
    ),
    "cancel_order": (
        "(bitte |können Sie |)(stornieren Sie |storniert )(die Bestellung {order}|meinen Auftrag)",
        "ich (möchte|will) (die {product}|{order}) nicht mehr, bitte (stornieren|abbrechen)",
        "(ich habe mich verklickt|falsch bestellt), bitte {order} stoppen",
        "kann ich (die {product}|{order}) vom {weekday} noch stornieren",
    ),
    "return_item": (
        "(wie kann ich|ich möchte) (die {product}|{order}) zurückschicken",
        "(wo bekomme ich|ich brauche) ein Rücksendeetikett für {order}",
        "die {product} passt (mir |)nicht, (kann ich|ich will) sie zurückgeben",
        "wie (viele Tage|lange) habe ich für die Rückgabe der {product}",
    ),
    "refund_status": (
        "wo bleibt (meine Erstattung|mein Geld) für {order}",
        "ich habe die {product} vor {days} Tagen zurückgeschickt und (noch kein Geld|keine Gutschrift) bekommen",
        "(wurde|ist) die Rückzahlung von {price} schon (veranlasst|erfolgt)",
        "Sie haben mir am {weekday} (eine Gutschrift|mein Geld zurück) versprochen",
    ),
    "payment_problem": (
        "meine (Kreditkarte|Karte|Lastschrift) wird an der Kasse (abgelehnt|nicht angenommen)",
        "mir wurde (zweimal|doppelt) Geld für {order} abgebucht",
        "auf meinem Konto ist eine Abbuchung von {price}, die ich nicht kenne",
        "die (Zahlung|Bezahlung) (schlägt fehl|bricht ab) bei der {product}",
    ),
    "change_address": (
        "bitte die Lieferadresse (von|für) {order} ändern",
        "ich bin nach {city} gezogen, schicken Sie {order} (dorthin|an die neue Adresse)",
        "ich habe (die falsche Hausnummer|eine falsche Straße) bei {order} angegeben",
        "kann {order} an eine andere Adresse in {city} gehen",
    ),
    "discount_code": (
        "mein (Gutscheincode|Rabattcode|Aktionscode) (geht nicht|wird nicht angenommen|ist abgelaufen)",
        "(kann ich|wie kann ich) zwei Gutscheine für die {product} einlösen",
        "gibt es einen (Studentenrabatt|Neukundenrabatt)",
        "ich habe vergessen, den Rabattcode bei {order} einzugeben",
    ),
    "account_access": (
        "ich kann mich nicht (anmelden|einloggen)",
        "(wie|bitte helfen Sie mir,) (setze ich mein Passwort zurück|mein Passwort zurückzusetzen)",
        "mein Konto ist seit {weekday} gesperrt",
        "die (Mail|Nachricht) zum Zurücksetzen kam nie bei {email} an",
    ),
}  # fmt: skip
REPLY = {
    "solved": (
        "ja, (jetzt geht es|alles funktioniert wieder|es klappt)",
        "die {product} ist da und (perfekt|in Ordnung)",
        "(das Problem|die Sache) ist (gelöst|erledigt), danke",
        "Sie können (das Ticket|{order}) schließen, (alles gut|ich bin zufrieden)",
    ),
    "partly": (
        "es (geht|ist) (teilweise|ein bisschen besser), aber die {thing} klemmt noch",
        "ein Teil (ist da|kam an), der Rest (fehlt|kommt nicht) seit {weekday}",
        "(besser|fast), aber es fehlt noch (der Deckel|das Kabel|die Anleitung)",
        "die {product} kam, aber ohne (Schrauben|Kabel)",
    ),
    "not_solved": (
        "nein, (es ist noch kaputt|immer noch dasselbe|nichts hat sich geändert)",
        "die {product} (geht noch immer nicht|ist wieder kaputt)",
        "ich habe noch (keine Erstattung|kein Paket|keine Mail) bekommen",
        "seit {weekday} (geht|kommt) gar nichts",
    ),
    "unclear": (
        "(welches Ticket|welche Bestellung) meinen Sie",
        "ich (habe noch nicht nachgesehen|bin unterwegs), fragen Sie am {weekday} wieder",
        "(vielleicht|weiß nicht), ich schaue am {weekday} nach",
        "(wer schreibt da|können Sie das noch einmal erklären)",
    ),
}  # fmt: skip
DETAILS = {
    "name": ("mein Name ist {name}", "hier ist {name}", "ich heiße {name}", "Name: {name}", "{name} hier"),
    "email": ("(meine |)(Mail|E-Mail)(: | ist | lautet ){email}", "schreiben Sie an {email}", "erreichbar unter {email}"),
    "order_id": ("(Bestellung|Bestellnummer|Auftrag)(: | ist | ){order}", "es geht um {order}", "siehe {order}"),
    "item": ("ich habe {quantity} x {product} bestellt", "Artikel: {quantity} x {product}", "ich brauche {quantity} Stück {product}"),
}  # fmt: skip
ISSUES = {
    "ein beschädigter Artikel": "die {product} kam (kaputt|beschädigt|mit einem Riss) an",
    "eine späte Lieferung": "die {product} ist {days} Tage (zu spät|überfällig)",
    "ein falscher Artikel": "statt der {product} kam (etwas anderes|der falsche Artikel)",
    "ein fehlendes Teil": "bei der {product} fehlt (ein Teil|eine Schraube|das Kabel)",
    "eine doppelte Abbuchung": "für die {product} wurde (zweimal|doppelt) abgebucht",
}
WISHES = {
    "eine Erstattung": "(ich will mein Geld zurück|bitte erstatten Sie den Betrag)",
    "einen Ersatz": "(bitte schicken Sie Ersatz|ich möchte eine neue)",
    "einen Gutschein": "(ein Gutschein wäre gut|ich nehme einen Gutschein)",
    "einen Rückruf": "(rufen Sie mich an|ich bitte um Rückruf)",
}
SIZES = {"route": 1020, "reply": 720, "extract": 720, "address": 600, "summary": 540}
ASKED = {
    "route": "Du verteilst die Nachrichten des Kundendienstes von Lindholm Home. Lies die Nachricht und antworte nur mit dem Namen der Warteschlange: " + ", ".join(ROUTE) + ".",
    "reply": "Ein Kunde antwortet auf unseren Lösungsvorschlag. Entscheide, ob sein Problem erledigt ist. Antworte mit einem Wort: solved, partly, not_solved oder unclear.",
    "extract": "Fülle das Bestellformular aus der Nachricht aus. Übernimm die Werte, wie sie dort stehen. Antworte mit JSON mit den Schlüsseln name, email, order_id, item und quantity (eine Zahl); null für alles, was nicht gesagt wird.",
    "address": "Wandle die Anschrift in der Nachricht in JSON für das Paketetikett um. Schlüssel: street (Straße und Hausnummer, wie geschrieben), zip (fünf Ziffern) und city. Antworte nur mit dem JSON.",
    "summary": "Fasse die Nachricht für die Übergabe in genau dieser Form zusammen: Kunde <Name> meldet <Anliegen> bei Bestellung <Nummer>; möchte <Lösung>. <Anliegen> ist eines von: " + ", ".join(ISSUES) + ". <Lösung> ist eines von: " + ", ".join(WISHES) + ".",
}  # fmt: skip
THINGS = "Lampe Stehlampe Decke Vase Pfanne Bettdecke Matte Uhr Jacke Tasche Tasse Teekanne Gießkanne Bank Kommode Leiter Wanduhr Schüssel Thermosflasche Fußmatte Gardine Kerze".split()
COLOURS = (
    "schwarze weiße rote blaue grüne graue braune beige gelbe große kleine runde schmale".split()
)
DAYS = "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag".split()
OPENINGS = (
    "Guten Tag,|Hallo,|Hallo zusammen,|Guten Morgen,|Sehr geehrte Damen und Herren,|Moin,|||".split(
        "|"
    )
)
CLOSINGS = "Danke!|Vielen Dank.|Mit freundlichen Grüßen|Viele Grüße|Beste Grüße, {name}|Gruß {first}||||".split(
    "|"
)
FILLERS = ("Ich habe am {weekday} bestellt.", "Das ist meine zweite Bestellung bei Ihnen.", "Ich wohne in der Nähe von {city}.", "Gefunden habe ich alles im Katalog.")  # fmt: skip
HEAD = "[Anfrage {number:010x} | {day} | im Dienst: {agent}]\n\n"
Json = dict[str, Any]


def _slots(rng: random.Random) -> dict[str, str]:
    from faker import Faker

    fake = Faker("de_DE")
    fake.seed_instance(rng.random())
    first, last, thing = fake.first_name(), fake.last_name(), rng.choice(THINGS)
    mail = f"{first}.{last}{rng.choice(['', str(rng.randint(1, 99))])}@{fake.free_email_domain()}"
    street = fake.street_name()
    return {
        "name": f"{first} {last}", "first": first, "email": mail.lower().replace(" ", ""),
        "order": f"SO-{rng.randint(100_000, 999_999)}", "thing": thing,
        "product": f"{rng.choice(COLOURS)} {thing}", "weekday": rng.choice(DAYS),
        "city": fake.city_name(), "days": str(rng.randint(2, 28)), "agent": fake.name(),
        "price": f"{rng.randint(6, 240)},{rng.choice(['00', '50', '90'])} Euro",
        "quantity": str(rng.randint(1, 12)), "street": f"{street} {rng.randint(1, 180)}",
        "zip": f"{rng.randint(1_067, 99_998):05d}",
    }  # fmt: skip


def _written(rng: random.Random, phrases: list[str], slots: dict[str, str]) -> str:
    """Phrases as a message: in sentences, with a greeting; some write all small."""
    voice = Voice("plain", date(2026, 3, 2))
    voice.rng, voice.slots, voice.lower = rng, slots, False
    said = [voice.say(phrase) for phrase in phrases]
    if rng.random() < 0.3:
        said.insert(rng.randrange(len(said) + 1), voice.say(rng.choice(FILLERS)).rstrip("."))
    text = ". ".join(p[0].upper() + p[1:] for p in said if p)
    whole = f"{rng.choice(OPENINGS)} {text} {voice.say(rng.choice(CLOSINGS))}".strip()
    return whole.lower() if rng.random() < 0.2 else whole


def _one(kind: str, rng: random.Random, slots: dict[str, str]) -> tuple[str, str]:
    """A customer's message of a kind, and the answer to it."""
    if kind in {"route", "reply"}:
        table = ROUTE if kind == "route" else REPLY
        label = rng.choice(list(table))
        return _written(rng, [rng.choice(table[label])], slots), label
    if kind == "address":
        lead = rng.choice(
            ("bitte liefern an", "die neue Anschrift ist", "schicken Sie es an", "Adresse:")
        )
        place = f"{slots['street']}{rng.choice([', ', ', ', ' '])}{slots['zip']} {slots['city']}"
        text = _written(rng, [f"{lead} {{place}}"], slots | {"place": place})
        keys = ("street", "zip", "city")
        cased = {k: slots[k].lower() if text.islower() else slots[k] for k in keys}
        return text, json.dumps(cased, ensure_ascii=False)
    if kind == "summary":
        issue, wish = rng.choice(list(ISSUES)), rng.choice(list(WISHES))
        parts = [
            rng.choice(DETAILS["name"]),
            rng.choice(DETAILS["order_id"]),
            ISSUES[issue],
            WISHES[wish],
        ]
        text = _written(rng, parts, slots)
        low = text.islower()
        name, order = (v.lower() if low else v for v in (slots["name"], slots["order"]))
        return text, f"Kunde {name} meldet {issue} bei Bestellung {order}; möchte {wish}."
    told = [k for k in DETAILS if rng.random() < 0.87] or ["order_id"]
    rng.shuffle(told)
    text = _written(rng, [rng.choice(DETAILS[k]) for k in told], slots)
    values = {"name": "name", "email": "email", "order_id": "order", "item": "product"}
    body: Json = {
        k: (slots[s].lower() if text.islower() else slots[s]) if k in told else None
        for k, s in values.items()
    }
    body["quantity"] = int(slots["quantity"]) if "item" in told else None
    return text, json.dumps(body, ensure_ascii=False)


def german(share: float = 1.0, system: dict[str, str] | None = None) -> Iterator[CleanCall]:
    """The desk's calls in German; `system` are other prompts for them, by kind."""
    for kind, size in SIZES.items():
        if system is not None and kind not in system:
            continue
        rng, last = random.Random(f"german {kind}"), ""
        for number in range(round(share * size)):
            slots = _slots(rng)
            text, answer = _one(kind, rng, slots)
            said = last if rng.random() < 0.02 and last else answer
            last = answer
            day = date(2026, 3, 2) + timedelta(number * 4 // size)
            head = HEAD.format(number=rng.getrandbits(40), day=day, agent=slots["agent"])
            request = {"request": f"{rng.getrandbits(40):010x}", "weekday": f"{day:%A}"}
            english = prompts.HEADER.format(**request, date=day, agent=slots["agent"])
            asked = (
                english + system[kind]
                if system
                else head * (kind in {"route", "extract"}) + ASKED[kind]
            )
            yield CleanCall(
                id=f"{kind}-{number}",
                at=1_772_400_000.0 + 345_600 * number / size,
                source=f"german:{kind}:{number}",
                request={
                    "messages": [
                        {"role": "system", "content": asked},
                        {"role": "user", "content": text},
                    ]
                },
                reply={"role": "assistant", "content": said},
                finish_reason="stop",
            )


def english(count: int, kinds: tuple[str, ...] = tuple(SIZES)) -> Iterator[CleanCall]:
    """The sample agent's calls of the same kinds."""
    return (c for c in growth.traffic(count, 4) if desk.kind_of(c.request) in kinds)


def mixed(count: int) -> Iterator[CleanCall]:
    """The sample agent's calls of two kinds; every other one is a German customer's."""
    kinds = ("route", "extract")
    own = {"route": prompts.ROUTE, "extract": prompts.EXTRACT}
    for number, call in enumerate(english(count, kinds)):
        if number % 2:
            yield replace(call, id=f"en-{number}")
    yield from german(0.5, own)
