"""Records come out of what carries them: encodings, loggers, containers."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from logged import chat, look, pair, taken

from tasks.core.contract import answer_of

GOOD = json.dumps(pair(chat("ok")))
CRI = "2026-03-02T10:00:00.1Z stdout"
QUOTED = [
    '"' + json.dumps(json.loads(GOOD)[n]).replace('"', '""') + '"' for n in ("request", "response")
]
ROW = f"timestamp|request|response\n1772445600|{QUOTED[0]}|{QUOTED[1]}"


@pytest.mark.parametrize(
    ("name", "data", "calls"),
    [
        ("a.jsonl", b"\xef\xbb\xbf" + GOOD.encode(), 1),
        ("a.jsonl", GOOD.encode("utf-16"), 1),
        ("a.jsonl", f"{GOOD}\r\n{GOOD}".encode("utf-16-le"), 2),
        ("a.jsonl", GOOD.replace("Broken", "Größe").encode("latin-1"), 1),
        ("a.jsonl", GOOD.replace('"id": "r"', '"cost": NaN').encode(), 1),
        ("a.jsonl", (GOOD + GOOD).encode(), 2),
        ("a.jsonl", f"[\n{GOOD},\n{GOOD},\n".encode(), 2),
        ("a.json", f"[\n{GOOD},\n{GOOD},\n]".encode(), 2),
        ("a.json", json.dumps([json.loads(GOOD)] * 2, indent=1).encode()[:-1], 2),
        ("a.jsonl", "\n".join([json.dumps(json.loads(GOOD), indent=2)] * 2).encode(), 2),
        ("a.jsonl", f"2026-03-02T10:00:00Z stdout F {GOOD}".encode(), 1),
        ("a.jsonl", f"2026-03-02T10:00:00.123Z {GOOD}".encode(), 1),
        ("a.jsonl", f"app-1  | {GOOD}".encode(), 1),
        ("a.log", f"{CRI} P {GOOD[:50]}\n{CRI} P {GOOD[50:60]}\n{CRI} F {GOOD[60:]}".encode(), 1),
        ("a.log", f"<134>1 2026-03-02T10:00:00Z host gw 12 - - {GOOD}".encode(), 1),
        ("a.log", f"INFO:gateway:{GOOD}\n2026-03-02 10:00:00,1 - gw - INFO - {GOOD}".encode(), 2),
        ("a.csv", ROW.replace("|", ";").encode(), 1),
        ("a.tsv", ROW.replace("|", "\t").encode(), 1),
    ],
)
def test_what_encodings_and_loggers_make_of_json_is_read(
    tmp_path: Path, name: str, data: bytes, calls: int
) -> None:
    """Marks, encodings, open arrays, commas, NaN and documents one behind the other."""
    (tmp_path / name).write_bytes(data)
    kept, reasons = taken([tmp_path / name])
    assert (len(kept), reasons) == (calls, [])


def carried(text: str) -> list[Any]:
    coded = base64.b64encode(text.encode()).decode()
    return [
        {"log": text + "\n", "stream": "stdout", "time": "2026-03-02T10:00:00Z"},
        {"@timestamp": "2026-03-02T10:00:00Z", "message": text, "kubernetes": {}},
        {"messageType": "DATA_MESSAGE", "logEvents": [{"id": "1", "message": text}]},
        {"records": [{"recordId": "1", "data": coded}]},
        {"Records": [{"kinesis": {"data": coded}}]},
        {"jsonPayload": json.loads(text), "logName": "x"},
        {"result": {"_raw": text}},
        {"streams": [{"stream": {}, "values": [["1", text]]}]},
        {"event": json.loads(text), "sourcetype": "x"},
        {"status": "success", "data": {"result": [{"stream": {}, "values": [["1", text]]}]}},
        {"MESSAGE": list(text.encode()), "_HOSTNAME": "h"},
        {"@timestamp": "x", "log_processed": json.loads(text)},
        {
            "results": [
                [{"field": "@timestamp", "value": "x"}, {"field": "@message", "value": text}]
            ]
        },
        {"tables": [{"columns": [{"name": "t"}, {"name": "message"}], "rows": [["x", text]]}]},
        {"awslogs": {"data": base64.b64encode(gzip.compress(text.encode())).decode()}},
    ]


@pytest.mark.parametrize("document", carried(GOOD), ids=lambda d: ",".join(d))
def test_wrappers_are_opened(tmp_path: Path, document: Any) -> None:
    """Lines come out of what runtimes, shippers and queues put around them."""
    (call,), reasons = look(tmp_path / "log.jsonl", document)
    assert (answer_of(call.reply), reasons) == ("ok", [])


def test_a_line_that_docker_cut_is_put_together(tmp_path: Path) -> None:
    """Docker cuts lines at 16 KB: the pieces of one become one record again."""
    pieces = [GOOD[:40], GOOD[40:80], GOOD[80:] + "\n"]
    documents = [{"log": p, "stream": "stdout", "time": "t"} for p in pieces]
    (call,), reasons = look(tmp_path / "log.jsonl", *documents)
    assert (answer_of(call.reply), reasons) == ("ok", [])
