// Drives one socket.io-client: node socketio_node.mjs <major> <url> <polling|websocket|default>
//
// "default" passes no options at all, as most pages do: the client polls first and upgrades.

import { createRequire } from "node:module";
import { note, obey } from "./lines.mjs";

const EVENTS = ["online", "comment", "gift", "live", "notice", "removed", "rate", "kicked"];

const [major, url, transport] = process.argv.slice(2);
const io = createRequire(import.meta.url)(`socket.io-client-${major}`);
const socket = transport === "default" ? io(url) : io(url, { transports: [transport] });

for (const name of EVENTS) socket.on(name, (data) => note("event", { name, data }));

socket.on("connect", () => {
  const id = socket.id;
  // Refusals arrive on an event named by the socket id, which is another after each reconnect.
  socket.on(id, (data) => note("event", { name: id, data }));
  const engine = socket.io.engine;
  engine.on("upgrade", (to) => note("upgrade", { transport: to.name }));
  note("connect", { id, transport: engine.transport.name });
});
socket.on("disconnect", (reason) => note("disconnect", { reason }));
// A refused namespace is "error" with a text in version 2, "connect_error" with an Error since.
socket.on("error", (error) => note("error", { message: error.message ?? error }));
socket.on("connect_error", (error) => note("error", { message: error.message }));

obey({
  emit(name, payload, ack) {
    if (ack === undefined) socket.emit(name, payload);
    else socket.emit(name, payload, (data) => note("answer", { ack, data }));
  },
  disconnect: () => socket.disconnect(),
});
