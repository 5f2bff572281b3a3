"""Reads a ledger the way users do: read_ledger.py LEDGER ROWS. Fails unless every line is strict JSON."""

import json
import sys


def refuse(name):
    raise ValueError(f"{name} is not JSON")


path, expected = sys.argv[1], int(sys.argv[2])
with open(path, encoding="utf-8") as file:
    rows = [json.loads(line, parse_constant=refuse) for line in file]
assert len(rows) == expected, f"{len(rows)} rows, not {expected}"
assert rows[0]["type"] == "run_start" and rows[0]["format"].startswith("blocktrain-ledger/2.")
changes = {}
for row in rows:
    if row["type"] == "change":
        changes[row["block"]] = row
    elif row["type"] == "step":
        for source, joules in row["joules"].items():
            assert (joules is None) == (changes[row["block"]]["joules_reason"][source] is not None)

try:
    import pandas
except ImportError:
    print("pandas is not installed: read with json alone")
else:
    table = pandas.read_json(path, lines=True)
    assert len(table) == expected
    assert (table[table.type == "change"].tokens > 0).all()
