// Drives one plain WebSocket: node plain_ws.mjs <url with token>

import WebSocket from "ws";
import { note, obey } from "./lines.mjs";

const socket = new WebSocket(process.argv[2]);

socket.on("open", () => note("connect", { id: null, transport: "websocket" }));
socket.on("message", (text) => {
  const frame = JSON.parse(text);
  if (frame.event !== undefined) return note("event", { name: frame.event, data: frame.data });
  const { id: ack, ...data } = frame;
  note("answer", { ack, data });
});
socket.on("close", (code, reason) => note("disconnect", { reason: `${code} ${reason}` }));
socket.on("error", (error) => note("error", { message: error.message }));

obey({
  emit: (event, data, id) => socket.send(JSON.stringify({ id, event, data })),
  disconnect: () => socket.close(),
});
