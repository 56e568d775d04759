// The reference: socket.io 4.8 with an application that answers as liveroom answers what it refuses, so that what
// remains different is transport and protocol. A worker thread; says its port to the one that started it.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { parentPort, workerData } from "node:worker_threads";

const require = createRequire(new URL("../clients/package.json", import.meta.url));
const { Server } = require("socket.io");

const http = createServer((_, response) => response.writeHead(404).end());
const io = new Server(http, {
  serveClient: false,
  allowEIO3: true,
  cors: { origin: true, credentials: true, methods: ["GET", "POST"] },
  ...workerData,
});

const COMMANDS = ["joinLive", "leaveLive", "comment", "gift"];

io.on("connection", (socket) => {
  // An event of this name that nobody listens to would be thrown.
  socket.on("error", () => {});
  socket.onAny((event, ...args) => {
    const ack = args.at(-1);
    if (typeof ack === "function") ack({ ok: false });
    // Unknown events without an ack are ignored; commands are refused on the event named by the socket id.
    else if (COMMANDS.includes(event)) socket.emit(socket.id, {});
  });
});

http.keepAliveTimeout = 0;
http.listen(0, "127.0.0.1", () => parentPort.postMessage(http.address().port));
