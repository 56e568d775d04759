"""Accounts for the members of a run, ten thousand of them, put into liveroom's store before it starts.

Registering and logging in costs the server two password hashes each, minutes in all, and is not what
is measured. So rows and tokens are made here as the server would make them: a token is a JWT signed
with the server's secret, and the store holds its digest. The lab finds them in a file as if it had
kept them from an earlier run; were one of them no good, it would sign in as usual.
"""

import base64
import hashlib
import hmac
import json
import sqlite3
import time

# The streamer and one for each member of the largest room.
COUNT = 10_001
TOKEN_LIFE_S = 7 * 24 * 3600

# Nobody can log in with it: there is no such hash.
NO_PASSWORD = "tokens only"


def prepare(store, secret, address, tokens):
    """Fills the migrated SQLite store, and the file of tokens for the server at `address`."""
    now_s = int(time.time())
    accounts = {}
    connection = sqlite3.connect(store)
    with connection:
        for index in range(COUNT):
            name = f"lab-user-{index:05}"
            added = connection.execute(
                "INSERT INTO users (username, password_hash, created_at, updated_at) VALUES (?, ?, ?, ?)",
                (name, NO_PASSWORD, now_s * 1000, now_s * 1000),
            )
            token = sign({"id": added.lastrowid, "username": name, "iat": now_s, "exp": now_s + TOKEN_LIFE_S}, secret)
            connection.execute(
                "INSERT INTO session_tokens (user_id, digest, created_at) VALUES (?, ?, ?)",
                (added.lastrowid, hashlib.sha256(token.encode()).hexdigest(), now_s * 1000),
            )
            accounts[name] = {"id": added.lastrowid, "token": token}
    connection.close()
    tokens.write_text(json.dumps({address: accounts}))


def sign(claims, secret):
    """A JWT with HS256."""
    head, body = (_base64(json.dumps(part, separators=(",", ":")).encode()) for part in ({"alg": "HS256"}, claims))
    signature = hmac.new(secret.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{_base64(signature)}"


def _base64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
