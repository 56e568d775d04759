"""Drives one python-socketio: socketio_python.py <url> <polling|websocket|default> [namespace]

Speaks the line protocol of lines.mjs. "default" passes no transports: it polls first and upgrades.
Runs with python-socketio 5 (Engine.IO 4) and with 4.6 (Engine.IO 3).
"""

import asyncio
import json
import sys

import socketio

EVENTS = ["online", "comment", "gift", "live", "notice", "removed", "rate", "kicked"]


def note(kind, **fields):
    print(json.dumps({"note": kind, **fields}), flush=True)


def handler(name):
    async def handle(data=None):
        note("event", name=name, data=data)

    return handle


def socket_id(client, namespace):
    """Since Engine.IO 4 the socket id is another than the connection's, and one per namespace."""
    return client.get_sid(namespace) if hasattr(client, "get_sid") else client.sid


def listen(client, namespace):
    async def connect():
        own = socket_id(client, namespace)
        # Refusals arrive on an event named by the socket id, which is another after each reconnect.
        client.on(own, handler(own), namespace=namespace)
        note("connect", id=own, transport=client.transport())

    async def disconnect(reason=""):
        note("disconnect", reason=reason)

    async def connect_error(error=None):
        note("error", message=error["message"] if isinstance(error, dict) else str(error))

    for name in EVENTS:
        client.on(name, handler(name), namespace=namespace)
    client.on("connect", connect, namespace=namespace)
    client.on("disconnect", disconnect, namespace=namespace)
    client.on("connect_error", connect_error, namespace=namespace)


def answer_to(ack):
    async def answer(data=None):
        note("answer", ack=ack, data=data)

    return answer


async def obey(client, namespace):
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        order = json.loads(line)
        if order.get("disconnect"):
            await client.disconnect()
            continue
        callback = answer_to(order["ack"]) if "ack" in order else None
        await client.emit(order["emit"], order["payload"], namespace=namespace, callback=callback)


async def main(url, transport, namespace="/"):
    client = socketio.AsyncClient()
    listen(client, namespace)
    try:
        await client.connect(url, **({} if transport == "default" else {"transports": [transport]}))
    except socketio.exceptions.ConnectionError as error:
        # A refused namespace was noted by the handler; version 5 raises as well.
        print(f"connect: {error}", file=sys.stderr)
    await obey(client, namespace)
    await client.disconnect()


asyncio.run(main(*sys.argv[1:]))
