// One TCP connection as a script drives it: a request byte by byte as it was written down, and whatever
// comes back as readable lines. HTTP libraries would repair what scripts are meant to break.

import { createHash, randomBytes } from "node:crypto";
import net from "node:net";

/** Response headers that clients act on; the others may differ freely. */
const HEADERS_THAT_MATTER = [
  "access-control-allow-credentials",
  "access-control-allow-headers",
  "access-control-allow-methods",
  "access-control-allow-origin",
  "cache-control",
  "content-encoding",
  "content-type",
  "sec-websocket-extensions",
  "sec-websocket-protocol",
  "set-cookie",
  "vary",
];

const OPCODE = { continuation: 0x0, text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xa };

/** Masked with zeros: the payload is readable in a capture, and servers cannot tell. */
function encodeFrame(firstByte, payload) {
  const length = payload.length;
  const head =
    length < 126
      ? Buffer.from([firstByte, 0x80 | length])
      : length < 65_536
        ? Buffer.from([firstByte, 0xfe, length >> 8, length & 0xff])
        : Buffer.concat([Buffer.from([firstByte, 0xff, 0, 0, 0, 0]), uint32(length)]);
  return Buffer.concat([head, Buffer.alloc(4), payload]);
}

function uint32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/**
 * A connection with one request on it, which may become a WebSocket.
 *
 * `note(event)` is called with what the server does: `{kind: "response", status, headers, body}`,
 * `{kind: "text" | "binary" | "ping" | "pong" | "close", …}` and `{kind: "end"}`, once, when the server ended the
 * connection before the client did and before the exchange was complete.
 */
export class Channel {
  #socket;
  #note;
  #received = Buffer.alloc(0);
  #fragments = [];
  #key;
  #closeSent = false;
  #isHead;

  /** Whether nothing more can come: the response is whole, or the connection is gone. */
  isDone = false;
  /** Whether the request was answered with 101. */
  isWebSocket = false;
  /** Whether a close frame went either way, so that the end of the connection is due. */
  isClosing = false;

  constructor(port, { method, target, headers, body, isWebSocket }, note) {
    this.#note = note;
    this.#isHead = method === "HEAD";
    const lines = { host: `127.0.0.1:${port}`, ...(isWebSocket && this.#handshakeHeaders()) };
    if (body !== undefined && headers["transfer-encoding"] === undefined) lines["content-length"] = body.length;
    const head = Object.entries({ ...lines, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    this.#socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    this.#socket.on("data", (bytes) => this.#take(bytes));
    this.#socket.on("end", () => this.#ended());
    this.#socket.on("error", () => this.#ended());
    this.#socket.write(
      Buffer.concat([Buffer.from(`${method} ${target} HTTP/1.1\r\n${head.join("")}\r\n`), body ?? Buffer.alloc(0)]),
    );
  }

  #handshakeHeaders() {
    this.#key = randomBytes(16).toString("base64");
    return { upgrade: "websocket", connection: "Upgrade", "sec-websocket-version": 13, "sec-websocket-key": this.#key };
  }

  /** Sends bytes as they are. */
  raw(bytes) {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  frame(firstByte, payload) {
    if ((firstByte & 0x0f) === OPCODE.close) {
      this.#closeSent = true;
      this.isClosing = true;
    }
    this.raw(encodeFrame(firstByte, payload));
  }

  text(text) {
    this.frame(0x80 | OPCODE.text, Buffer.from(text));
  }

  binary(bytes) {
    this.frame(0x80 | OPCODE.binary, bytes);
  }

  /** Says that nothing more will be sent, and goes on listening. */
  half() {
    this.#socket.end();
  }

  /** Goes away without a word. The reset keeps the port from waiting for a minute. */
  drop() {
    this.isDone = true;
    this.#socket.resetAndDestroy();
  }

  #ended() {
    if (this.isDone) return;
    this.#note({ kind: "end" });
    this.drop();
  }

  #take(bytes) {
    if (this.isDone) return;
    this.#received = Buffer.concat([this.#received, bytes]);
    if (!this.isWebSocket && !this.#takeResponse()) return;
    while (this.isWebSocket && !this.isDone && this.#takeFrame());
  }

  /** Whether the response is whole. */
  #takeResponse() {
    const end = this.#received.indexOf("\r\n\r\n");
    if (end < 0) return false;
    const [statusLine, ...lines] = this.#received.toString("latin1", 0, end).split("\r\n");
    const status = Number(statusLine.split(" ")[1]);
    const headers = readHeaders(lines);
    let rest = this.#received.subarray(end + 4);
    if (status === 101) {
      this.isWebSocket = true;
      this.#received = rest;
      const accepted = headers["sec-websocket-accept"] === acceptKey(this.#key);
      this.#note({
        kind: "response",
        status,
        headers: thoseThatMatter(headers),
        body: accepted ? "" : "wrong accept key",
      });
      return true;
    }
    const hasNoBody = this.#isHead || status === 204 || status === 304;
    const body = hasNoBody ? Buffer.alloc(0) : takeBody(headers, rest);
    if (body === undefined) return false;
    this.#note({ kind: "response", status, headers: thoseThatMatter(headers), body: body.toString() });
    this.drop();
    return true;
  }

  #takeFrame() {
    const bytes = this.#received;
    if (bytes.length < 2) return false;
    const [isLast, opcode, short] = [bytes[0] & 0x80, bytes[0] & 0x0f, bytes[1] & 0x7f];
    const start = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (bytes.length < start) return false;
    const length = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? bytes.readUInt32BE(6) : short;
    if (bytes.length < start + length) return false;
    const payload = bytes.subarray(start, start + length);
    this.#received = bytes.subarray(start + length);
    switch (opcode) {
      case OPCODE.close:
        this.#note({
          kind: "close",
          code: length < 2 ? 1005 : payload.readUInt16BE(0),
          reason: payload.toString("utf8", 2),
        });
        this.isClosing = true;
        if (!this.#closeSent) this.frame(0x80 | OPCODE.close, payload.subarray(0, 2));
        return true;
      case OPCODE.ping:
        this.#note({ kind: "ping" });
        return true;
      case OPCODE.pong:
        this.#note({ kind: "pong", text: payload.toString() });
        return true;
      default:
        if (opcode !== OPCODE.continuation) this.#fragments = [opcode];
        this.#fragments.push(payload);
        if (isLast) this.#takeMessage();
        return true;
    }
  }

  #takeMessage() {
    const [opcode, ...parts] = this.#fragments;
    const whole = Buffer.concat(parts);
    this.#note(
      opcode === OPCODE.text
        ? { kind: "text", text: whole.toString() }
        : { kind: "binary", hex: whole.toString("hex") },
    );
  }
}

function readHeaders(lines) {
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return headers;
}

function thoseThatMatter(headers) {
  return Object.fromEntries(HEADERS_THAT_MATTER.filter((name) => name in headers).map((name) => [name, headers[name]]));
}

function acceptKey(key) {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

/** The body, or nothing if it is not all there. */
function takeBody(headers, bytes) {
  if (headers["transfer-encoding"] === "chunked") return takeChunks(bytes);
  const length = Number(headers["content-length"] ?? 0);
  return bytes.length < length ? undefined : bytes.subarray(0, length);
}

function takeChunks(bytes) {
  const chunks = [];
  for (let at = 0; ;) {
    const line = bytes.indexOf("\r\n", at);
    if (line < 0) return undefined;
    const length = parseInt(bytes.toString("latin1", at, line), 16);
    at = line + 2 + length + 2;
    if (bytes.length < at) return undefined;
    if (length === 0) return Buffer.concat(chunks);
    chunks.push(bytes.subarray(line + 2, line + 2 + length));
  }
}
