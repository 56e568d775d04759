// Scripts: what one client does, a step a line, the same for either server.
//
//   a = GET /socket.io/?EIO=4&transport=polling            a request on a connection of its own, called a
//   b = POST /socket.io/?EIO=4&transport=polling&sid={a} < "40"      {a} is the sid that a was given
//   c = OPTIONS /socket.io/ [origin: http://a.example]     with headers
//   w = WS /socket.io/?EIO=4&transport=websocket           asks for a WebSocket
//   w < "40"                  a text frame
//   w < hex:0401              a binary frame (after a request: more bytes of its body)
//   w frame 01 "4"            a frame with this first byte: opcode, and 80 for the last
//   w close 1000              a close frame; without a number an empty one
//   w half                    sends no more, and listens on
//   w drop                    the connection is gone
//   w wait                    until the server does something on it
//
// Texts are JSON strings, and `"x"*1000` is x a thousand times. A script is preceded by `## its name`.

const REQUEST = /^(\w+) = ([A-Z]+) (\S+)((?: \[[^\]]*\])*)(?: < (.*))?$/s;
const ACTION = /^(\w+) (<|frame|close|half|drop|wait)(?: (.*))?$/s;

/** @returns {{line: string, name: string, verb: string, …}} */
export function parseStep(line) {
  const request = REQUEST.exec(line);
  if (request) {
    const [, name, method, target, headers, body] = request;
    const isWebSocket = method === "WS";
    return {
      line,
      name,
      verb: "request",
      method: isWebSocket ? "GET" : method,
      isWebSocket,
      target,
      headers: parseHeaders(headers),
      body: body === undefined ? undefined : parseBytes(body).bytes,
    };
  }
  const action = ACTION.exec(line);
  if (!action) throw new Error(`not a step: ${line}`);
  const [, name, verb, argument] = action;
  if (verb === "<") return { line, name, verb: "send", ...parseBytes(argument) };
  if (verb === "frame") {
    const space = argument.indexOf(" ");
    return {
      line,
      name,
      verb,
      firstByte: parseInt(argument.slice(0, space), 16),
      ...parseBytes(argument.slice(space + 1)),
    };
  }
  if (verb === "close") return { line, name, verb, code: argument === undefined ? undefined : Number(argument) };
  return { line, name, verb };
}

function parseHeaders(text) {
  const headers = {};
  for (const [, header] of text.matchAll(/\[([^\]]*)\]/g)) {
    const colon = header.indexOf(":");
    headers[header.slice(0, colon).toLowerCase()] = header.slice(colon + 1).trim();
  }
  return headers;
}

function parseBytes(text) {
  if (text.startsWith("hex:")) return { bytes: Buffer.from(text.slice(4), "hex"), isText: false };
  const repeated = /^(".*")\*(\d+)$/s.exec(text);
  const whole = repeated ? JSON.parse(repeated[1]).repeat(Number(repeated[2])) : JSON.parse(text);
  return { bytes: Buffer.from(whole), isText: true };
}

/** The scripts of a file: `[{name, lines}]`. Lines that begin with a single # are comments. */
export function parseFile(text) {
  const scripts = [];
  for (const line of text.split("\n").map((line) => line.trim())) {
    if (line.startsWith("## ")) scripts.push({ name: line.slice(3), lines: [] });
    else if (line !== "" && !line.startsWith("#")) scripts.at(-1).lines.push(line);
  }
  return scripts;
}

/** Whether each step refers to connections that are there. */
export function isWhole(lines) {
  const known = new Set();
  return lines.map(parseStep).every((step) => {
    const sids =
      step.verb === "request" ? [...step.target.matchAll(/\{(\w+)\}/g)].map(([, name]) => name) : [step.name];
    const isFine = sids.every((name) => known.has(name));
    if (step.verb === "request") known.add(step.name);
    return isFine;
  });
}
