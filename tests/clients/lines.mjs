// The line protocol that tests/clients/driver.rs speaks with every client: one JSON object a line.
//
// in:  {"emit": name, "payload": any, "ack"?: number}   {"disconnect": true}
// out: {"note": "connect", "id": socket id or null, "transport": name}
//      {"note": "upgrade", "transport": name}
//      {"note": "event", "name": name, "data": any}
//      {"note": "answer", "ack": number, "data": any}
//      {"note": "error", "message": text}     the connection or the namespace was refused
//      {"note": "disconnect", "reason": text}
//
// The end of the input ends the process.

import { createInterface } from "node:readline";

export function note(kind, fields) {
  process.stdout.write(JSON.stringify({ note: kind, ...fields }) + "\n");
}

/** Calls `emit(name, payload, ack)` and `disconnect()` as the lines of the input say. */
export function obey({ emit, disconnect }) {
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const order = JSON.parse(line);
    if (order.disconnect) disconnect();
    else emit(order.emit, order.payload, order.ack);
  });
  lines.on("close", () => process.exit(0));
}
