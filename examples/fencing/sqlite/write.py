"""Writes standard input with the fencing token of `leasehold run`: write.py DATABASE."""

import contextlib
import os
import sqlite3
import sys

token = int(os.environ["LEASEHOLD_FENCING_TOKEN"])
content = sys.stdin.read()
try:
    with contextlib.closing(sqlite3.connect(sys.argv[1])) as db, db:
        # First, and in the same transaction as everything that the leader writes.
        db.execute("UPDATE fence SET token = ?", [token])
        db.execute("UPDATE report SET content = ? WHERE name = 'daily'", [content])
except sqlite3.IntegrityError as refusal:
    sys.exit(f"refused: {refusal}")
