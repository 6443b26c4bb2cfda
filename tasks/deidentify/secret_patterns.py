"""Secrets by shape: vendors' prefixes, tokens, signatures in links, cookies and assignments.

The rules are data: detect-secrets' own patterns, and prefixes that vendors document for their keys
(as secret scanners list them). Each rule marks the secret with the group `v`, or is replaced whole.
"""

# ruff: noqa: E501 - a regular expression is read on one line
from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import re
from collections import Counter
from functools import cache
from pathlib import Path

I = re.IGNORECASE  # noqa: E741 - as in the re module's own names


def _words(section: str) -> list[str]:
    """The words of a section of `secret_words.txt`."""
    text = Path(__file__).with_name("secret_words.txt").read_text()
    lines = text.partition(f"[{section}]\n")[2].partition("\n[")[0].split("\n")
    return [word for line in lines if not line.startswith("#") for word in line.split()]


_PREFIX = "|".join(sorted((re.escape(p) for p in _words("prefixes")), key=lambda p: (-len(p), p)))
OBJECTS = frozenset(_words("objects"))
_GENERIC = re.compile(
    r"(?<![\w./-])([A-Za-z][A-Za-z0-9]{1,11})[-_](?:[A-Za-z0-9]{1,8}[-_]){0,2}(?=[\w-]{24,})[\w-]{24,}(?![\w-])"
)
_URL_NAMES = (
    r"key|api[_-]?key|apikey|subscription-key|token|access[_-]?token|id_token|auth|authkey|sig|signature|x-amz-signature|x-amz-credential|x-amz-security-token|x-goog-signature|x-goog-credential|"
    r"secret|client_secret|password|passwd|pwd|jwt|session(?:_?id)?|sid|hmac|ticket|code|otp|hash|invite|nonce|state"
)
_ASSIGNED = r"pass(?:word|wd|phrase)?|pwd|secret|token|api_?key|apikey|private_?key|access_?key|auth_?key|signing_?key|encryption_?key|credentials?|conn(?:ection)?_?str(?:ing)?"
SECRETS = [
    (r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]{0,8000}?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)", "-", 0),
    (r"(?:\b[pst]k\.)?\beyJ[\w-]{8,}(?:\.[\w-]+){1,4}", "e", 0),
    (r"\b(?:[A-Za-z0-9]{14}\.)?atlasv1\.[\w-]{30,}|\bEAA[A-Za-z0-9]{20,}", "", 0),
    (r"\b(?:mysql\w*|mariadb\w*)\b[^\n]{0,120}?\s-p(?P<v>[^\s\"']{4,})", "-", I),
    (rf"(?<![A-Za-z0-9])(?:{_PREFIX})(?=[\w.=~+/-]*\d)[\w.=~+/-]{{16,}}", "", 0),
    (r"(?<![A-Za-z0-9])(?:AKIA|ASIA|AGPA|AROA|AIDA|ABIA|ACCA)[A-Z0-9]{16}\b", "A", 0),
    (r"(?<![A-Za-z0-9])AIza[\w-]{35}|\bSK[a-f0-9]{32}\b|\bAC[a-f0-9]{32}\b|\b\d{8,10}:AA[\w-]{33}\b|\bpat[A-Za-z0-9]{14}\.[a-f0-9]{64}\b|\b[a-f0-9]{32}-us\d{1,2}\b", "", 0),
    (r"\b[MNO][A-Za-z\d_-]{23,25}\.[A-Za-z\d_-]{6}\.[A-Za-z\d_-]{27,}", ".", 0),
    (r"https://(?:hooks\.slack\.com/(?:services|workflows)|discord(?:app)?\.com/api/webhooks|outlook\.office\.com/webhook|[\w.-]+\.webhook\.office\.com)/(?P<v>[\w/@.-]{20,})", "/", I),
    (r"\b(?:AccountKey|SharedAccessKey|SharedAccessSignature|Password|Pwd)=(?P<v>[^;\s\"']{6,})", "=", I),
    (r"\b[a-z][a-z0-9+]{2,14}://[^\s:/@\"']{0,64}:(?P<v>[^\s@\"']{1,128})@[\w.-]+", "@", I),
    (rf"[?&;#](?:{_URL_NAMES})=(?P<v>[^&\s\"'<>;#)]{{6,}})", "=", I),
    (r"\b[\w.-]*(?:sess(?:ion)?[_-]?(?:id)?|connect\.sid|sid|auth|csrf\w*|xsrf\w*|jwt|remember\w*|token)=(?P<v>[^;\s\"'&,<>]{8,})", "=", I),
    (r"(?:\s|^)(?:-u|--user|--proxy-user)[\s=]+[\"']?[^\s:\"']{1,64}:(?P<v>[^\s\"']{3,})", "-", 0),
    (r"(?:\s|^)(?:-p|--password|--pass|--token|--api-key|--secret)[\s=]+[\"']?(?P<v>(?=[^\s\"']*[\d!@#$%^&*?])[^\s\"']{4,})", "-", 0),
    (rf"(?<![A-Za-z0-9])[A-Za-z0-9_.-]{{0,30}}?(?:{_ASSIGNED})(?:_[A-Za-z0-9]+)*[\"']?\s{{0,2}}(?:=|:=|=>|:)\s{{0,2}}[\"'`]?(?P<v>(?=[^\s\"'`]*[\d!@#$%^&*?+/])[^\s\"'`,;<>(){{}}]{{4,}})", "=:", I),
    (r"\b(?:authorization|proxy-authorization|x-api-key|api-key|x-auth-token)[\"']?\s{0,2}[:=]\s{0,2}[\"']?(?:bearer\s+|basic\s+|token\s+|digest\s+|apikey\s+)?(?P<v>(?=[\w.~+/=-]*[\dA-Z])[\w.~+/-]{8,}={0,2})", ":=", I),
    (r"\b(?:bearer|token)[\"']?[\s:=]{1,3}(?:is\s+|was\s+)?[\"']?(?:bearer\s+|basic\s+)?(?P<v>(?=[\w.~+/-]*\d)[\w.~+/-]{20,}={0,2})", "0123456789", I),
    (r"\bbasic\s+(?P<v>(?=[\w+/]*[A-Z])(?=[\w+/]*[a-z])[A-Za-z0-9+/]{12,}={0,2})(?![\w])", "", I),
    (r"(?<![a-z])(?:api[_ -]?keys?|api[_ -]?tokens?|access[_ -]?keys?|access[_ -]?codes?|secret[_ -]?(?:access[_ -]?)?keys?|(?:session|license|product|activation|recovery|backup)[_ -]?(?:key|code|token)s?|"
     r"client[_ -]?secret|auth[_ -]?token|access[_ -]?token|refresh[_ -]?token|session[_ -]?token|schlüssel|zugangsschlüssel|clave(?: de api)?|clé(?: api| d['’]api)?|chiave(?: api)?|sleutel|chave(?: de api)?|"
     r"signing[_ -]?key|encryption[_ -]?key|private[_ -]?token|webhook[_ -]?secret)[\"']?"
     r"(?:\s+(?:is|was|ist|lautet|es|est|è|é))?[\s:=]{1,3}[\"'`]?(?P<v>(?=[^\s\"']{0,60}\d)[\w.~+/=-]{10,})", "0123456789", I),
]  # fmt: skip


def entropy(text: str) -> float:
    """Bits a character."""
    counts, n = Counter(text), len(text)
    return -sum(c / n * math.log2(c / n) for c in counts.values())


def unlisted_keys(text: str) -> list[tuple[int, int]]:
    """Keys of vendors that no list has: a prefix, then long, mixed and random characters."""
    findings = []
    for match in _GENERIC.finditer(text):
        value = match.group()
        tail = re.split(r"[-_]", value, maxsplit=1)[1]
        mixed = sum(any(map(test, tail)) for test in (str.islower, str.isupper, str.isdigit))
        if match[1].lower() not in OBJECTS and mixed == 3 and entropy(tail) >= 3.7:
            findings.append(match.span())
    return findings


@cache
def scanner_rules() -> tuple[re.Pattern[str], ...]:
    """The patterns of detect-secrets that need no words around them."""
    import detect_secrets.plugins as plugins
    from detect_secrets.plugins.base import RegexBasedDetector

    rules: dict[str, re.Pattern[str]] = {}
    for info in pkgutil.iter_modules(plugins.__path__):
        module = importlib.import_module(f"detect_secrets.plugins.{info.name}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if not issubclass(kind, RegexBasedDetector) or kind.__name__ in _LOOSE:
                continue
            for rule in kind.denylist:  # type: ignore[attr-defined, unused-ignore]
                if not rule.pattern.startswith("BEGIN"):  # ours takes the whole block
                    rules[rule.pattern] = rule
    return tuple(rules[name] for name in sorted(rules))


# Rules that take an address, a text or an e-mail host for a secret; ours are narrower.
_LOOSE = frozenset(
    {
        "IPPublicDetector",
        "BasicAuthDetector",
        "JwtTokenDetector",
        "ArtifactoryDetector",
        "RegexBasedDetector",
        "GitHubTokenDetector",
    }
)
