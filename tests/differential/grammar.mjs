// Generates scripts: the script of a seed and a number is always the same.

import { BINARY, binaryEvent, json, message, packet, quote } from "./packets.mjs";
import { Random } from "./random.mjs";

const FAMILIES = {
  patient: [
    [2, handshakes],
    [5, polling],
    [5, webSocket],
    [4, upgrade],
    [1, cors],
  ],
  hasty: [[1, heartbeats]],
};

export function generate(kind, seed, number) {
  const random = new Random(Math.imul(seed, 0x9e3779b1) ^ number);
  const family = random.weighted(FAMILIES[kind]);
  const script = new Script(random);
  family(script, random);
  return { name: `seed ${seed} number ${number} (${family.name})`, lines: script.lines };
}

/** The lines so far, and names for what is next. */
class Script {
  lines = [];
  #random;
  #count = 0;

  constructor(random) {
    this.#random = random;
  }

  add(line) {
    this.lines.push(line);
  }

  /** A request; returns the name of its connection. */
  request(method, target, { headers = {}, body } = {}) {
    const name = `c${++this.#count}`;
    const heads = Object.entries(headers)
      .map(([header, value]) => ` [${header}: ${value}]`)
      .join("");
    this.add(`${name} = ${method} ${target}${heads}${body === undefined ? "" : ` < ${body}`}`);
    return name;
  }
}

const engine = (eio, transport, sid) => `/socket.io/?EIO=${eio}&transport=${transport}${sid ? `&sid={${sid}}` : ""}`;

// --- Requests -----------------------------------------------------------------------------------------------------

const PATHS = [
  "/socket.io/",
  "/socket.io",
  "/socket.io//",
  "//socket.io/",
  "/socket.io/x",
  "/socket.iox/",
  "/Socket.IO/",
  "/socket.io/./",
  "/socket%2eio/",
];
const METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
const EIO = ["EIO=4", "EIO=3", "EIO=4&EIO=4", "EIO=4&EIO=3", "EIO=", "EIO=%34", "eio=4"];
const TRANSPORTS = [
  "transport=polling",
  "transport=websocket",
  "transport=polling&transport=polling",
  "transport=webtransport",
  "transport=",
  "transport",
  "transport=Polling",
  "transport=poll%69ng",
  "transport=tcp",
];
const SIDS = [
  "sid=",
  "sid=none",
  "sid=__proto__",
  "sid=a&sid=b",
  "sid=%00",
  "sid=AAAAAAAAAAAAAAAAAAAA",
  "sid[]=a",
  "sid=%",
  "sid=世界",
];
const EXTRAS = ["t=abc", "b64=1", "b64", "token=x%20y", "x=%zz", "&", "=", "a=b=c", "transport[x]=polling"];

function query(random) {
  const parts = [];
  if (random.chance(0.9))
    parts.push(
      random.weighted([
        [6, "EIO=4"],
        [4, "EIO=3"],
        [3, random.pick(EIO)],
      ]),
    );
  if (random.chance(0.95))
    parts.push(
      random.weighted([
        [6, "transport=polling"],
        [2, "transport=websocket"],
        [4, random.pick(TRANSPORTS)],
      ]),
    );
  if (random.chance(0.3)) parts.push(random.pick(SIDS));
  if (random.chance(0.4)) parts.push(random.pick(EXTRAS));
  if (random.chance(0.2)) parts.reverse();
  return parts.join("&");
}

function handshakes(script, random) {
  const path = random.weighted([
    [6, "/socket.io/"],
    [2, random.pick(PATHS)],
  ]);
  const asked = query(random);
  const target = encodeURI(`${path}${asked === "" && random.chance(0.5) ? "" : "?"}${asked}`).replaceAll("%25", "%");
  const headers = random.chance(0.3) ? { origin: random.pick(ORIGINS) } : {};
  const method = random.weighted([
    [6, "GET"],
    [1, "WS"],
    [2, random.pick(METHODS)],
  ]);
  const name = script.request(method, target, { headers, body: method === "POST" ? quote("40") : undefined });
  if (random.chance(0.3)) script.request("GET", `${target}&sid={${name}}`);
}

const ORIGINS = [
  "http://a.example",
  "https://b.example:8443",
  "null",
  "",
  "file://",
  "http://a.example, http://b.example",
  "*",
];

function cors(script, random) {
  const headers = {};
  if (random.chance(0.8)) headers.origin = random.pick(ORIGINS);
  if (random.chance(0.7)) headers["access-control-request-method"] = random.pick(METHODS);
  if (random.chance(0.5))
    headers["access-control-request-headers"] = random.pick(["content-type", "x-a, x-b", "", "X-Token"]);
  const target = `${random.weighted([
    [6, "/socket.io/"],
    [1, random.pick(PATHS)],
  ])}?${query(random)}`;
  script.request(
    random.weighted([
      [3, "OPTIONS"],
      [2, "GET"],
    ]),
    target,
    { headers },
  );
  if (random.chance(0.3)) {
    const eio = random.pick([3, 4]);
    const name = script.request("GET", engine(eio, "polling"), { headers });
    script.request("POST", engine(eio, "polling", name), { headers, body: quote(eio === 4 ? "40" : "1:6") });
    script.request("GET", engine(eio, "polling", name), { headers });
  }
}

// --- Polling ------------------------------------------------------------------------------------------------------

const utf16 = (text) => text.length;

/** A body of packets in the payload format of the revision, now and then a wrong one. */
function body(random, eio, packets) {
  if (random.chance(0.03)) return `${quote("x")}*${random.pick([9_999, 10_000, 10_001, 30_000])}`;
  if (eio === 4) {
    const separator = random.weighted([
      [12, "\u001e"],
      [1, random.pick(["", "\u001e\u001e", "\n"])],
    ]);
    const whole = packets.join(separator) + (random.chance(0.03) ? "\u001e" : "");
    return quote(random.chance(0.02) ? "" : whole);
  }
  const lengths = packets.map((packet) => {
    const right = utf16(packet);
    const length = random.weighted([
      [16, right],
      [
        1,
        random.pick([
          right + 1,
          right - 1,
          Buffer.byteLength(packet),
          `0${right}`,
          `${right}.0`,
          ` ${right}`,
          "",
          "-1",
          "1e1",
          "x",
        ]),
      ],
    ]);
    return `${length}:${packet}`;
  });
  return quote(random.chance(0.02) ? "" : lengths.join(""));
}

/** `00|01 digits ff packet`, the binary payload of revision 3. */
function octets(random) {
  const packets = Array.from({ length: 1 + random.below(2) }, () => {
    const isBinary = random.chance(0.4);
    const content = isBinary ? Buffer.from(random.pick(BINARY), "hex") : Buffer.from(packet(random));
    const length = random.weighted([
      [8, content.length],
      [1, content.length + 1],
    ]);
    const kind = random.weighted([
      [8, isBinary ? 1 : 0],
      [1, random.pick([0, 1, 2, 255])],
    ]);
    return Buffer.concat([Buffer.from([kind, ...String(length).split("").map(Number), 255]), content]);
  });
  return `hex:${Buffer.concat(packets).toString("hex")}`;
}

function post(script, random, eio, sid) {
  if (eio === 3 && random.chance(0.1)) {
    return script.request("POST", engine(eio, "polling", sid), {
      headers: { "content-type": "application/octet-stream" },
      body: octets(random),
    });
  }
  const packets = random.chance(0.1)
    ? attached(random, eio)
    : Array.from({ length: 1 + (random.chance(0.3) ? random.below(3) : 0) }, () => packet(random));
  const headers = {};
  if (random.chance(0.2))
    headers["content-type"] = random.pick([
      "text/plain",
      "text/plain;charset=UTF-8",
      "application/octet-stream",
      "application/json",
      "",
      "application/x-www-form-urlencoded",
    ]);
  return script.request("POST", engine(eio, "polling", sid), { headers, body: body(random, eio, packets) });
}

/** A binary event and its attachments as packets of a payload. */
function attached(random, eio) {
  const { text, attachments } = binaryEvent(random);
  return [text, ...Array.from({ length: attachments }, () => (eio === 4 ? "bAQID" : "b4AQID"))];
}

function polling(script, random) {
  const eio = random.pick([3, 4]);
  const sid = script.request("GET", engine(eio, "polling"));
  if (eio === 4 && random.chance(0.85))
    script.request("POST", engine(eio, "polling", sid), {
      body: quote(
        random.weighted([
          [8, "40"],
          [1, '40{"token":"x"}'],
          [1, "40/chat,"],
        ]),
      ),
    });
  if (random.chance(0.8)) script.request("GET", engine(eio, "polling", sid));
  const polls = [];
  for (let left = 1 + random.below(5); left > 0; left -= 1) pollingStep(script, random, eio, sid, polls);
  script.request("GET", engine(eio, "polling", sid));
}

function pollingStep(script, random, eio, sid, polls) {
  random.weighted([
    [8, () => post(script, random, eio, sid)],
    [5, () => polls.push(script.request("GET", engine(eio, "polling", sid)))],
    [1, () => polls.length > 0 && script.add(`${random.pick(polls)} ${random.pick(["drop", "half"])}`)],
    [1, () => script.request(random.pick(METHODS), engine(eio, "polling", sid))],
    [1, () => script.request("GET", engine(7 - eio, "polling", sid))],
    [1, () => script.request("GET", `/socket.io/?transport=polling&sid={${sid}}`)],
    [1, () => script.request("GET", engine(eio, "websocket", sid))],
    [0.5, () => script.request("GET", `${engine(eio, "polling", sid)}&${random.pick(EXTRAS)}`)],
    [1, () => incompletePost(script, random, eio, sid)],
    [
      0.5,
      () =>
        script.request("POST", engine(eio, "polling", sid), {
          headers: { "transfer-encoding": "chunked" },
          body: quote(eio === 4 ? "2\r\n41\r\n0\r\n\r\n" : "4\r\n2:41\r\n0\r\n\r\n"),
        }),
    ],
  ])();
}

/** A POST whose body does not come at once, or never, with something happening meanwhile. */
function incompletePost(script, random, eio, sid) {
  const whole = eio === 4 ? '421["nothing"]' : '14:421["nothing"]';
  const length = Buffer.byteLength(whole);
  const name = script.request("POST", engine(eio, "polling", sid), {
    headers: { "content-length": `${length}` },
    body: quote(whole.slice(0, 3)),
  });
  if (random.chance(0.5)) pollingStep(script, random, eio, sid, []);
  script.add(
    random.weighted([
      [4, `${name} < ${quote(whole.slice(3))}`],
      [1, `${name} drop`],
      [1, `${name} half`],
    ]),
  );
}

// --- WebSocket ----------------------------------------------------------------------------------------------------

function webSocket(script, random) {
  const eio = random.pick([3, 4]);
  const socket = script.request("WS", engine(eio, "websocket"));
  if (eio === 4 && random.chance(0.85))
    script.add(
      `${socket} < ${quote(
        random.weighted([
          [8, "40"],
          [1, '40{"token":"x"}'],
          [1, "40/chat,"],
        ]),
      )}`,
    );
  for (let left = 1 + random.below(6); left > 0; left -= 1) socketStep(script, random, eio, socket);
  if (random.chance(0.1)) script.request("GET", engine(eio, "polling", socket));
}

function socketStep(script, random, eio, socket) {
  random.weighted([
    [10, () => script.add(`${socket} < ${quote(packet(random))}`)],
    [2, () => attach(script, random, eio, socket)],
    [1, () => script.add(`${socket} < hex:${random.pick(BINARY)}`)],
    [1, () => fragments(script, random, socket)],
    [
      0.5,
      () =>
        script.add(
          `${socket} frame ${random.pick(["89", "8a", "09", "83", "8b", "c1", "00", "80", "f1"])} ${quote(random.pick(["", "x"]))}`,
        ),
    ],
    [0.5, () => script.add(`${socket} < ${quote("x")}*${random.pick([9_999, 10_001, 70_000])}`)],
    [0.5, () => script.add(`${socket} frame 81 hex:${random.pick(["ff", "34c3", "3432eda0bd", "f09f98"])}`)],
    [
      0.5,
      () =>
        script.add(
          `${socket} close${random.pick(["", " 1000", " 1001", " 3000", " 4999", " 1005", " 1006", " 999", " 5000", " 0"])}`,
        ),
    ],
    [0.3, () => script.add(`${socket} half`)],
    [0.2, () => script.request("GET", engine(eio, "polling", socket))],
    [0.2, () => script.request("POST", engine(eio, "polling", socket), { body: quote("41") })],
    [0.2, () => script.request("WS", engine(eio, "websocket", socket))],
  ])();
}

function attach(script, random, eio, socket) {
  const { text, attachments } = binaryEvent(random);
  script.add(`${socket} < ${quote(text)}`);
  for (let left = attachments; left > 0; left -= 1) {
    script.add(
      `${socket} < ${random.weighted([
        [6, `hex:${eio === 4 ? "010203" : "04010203"}`],
        [1, quote(eio === 4 ? "bAQID" : "b4AQID")],
        [1, quote('42["nothing"]')],
      ])}`,
    );
  }
}

function fragments(script, random, socket) {
  const text = message(random);
  const cut = random.below(text.length + 1);
  script.add(`${socket} frame 01 ${quote(text.slice(0, cut))}`);
  if (random.chance(0.3)) script.add(`${socket} frame ${random.pick(["89", "00", "01", "81"])} ""`);
  script.add(`${socket} frame 80 ${quote(text.slice(cut))}`);
}

// --- From polling to WebSocket ------------------------------------------------------------------------------------

function upgrade(script, random) {
  const eio = random.pick([3, 4]);
  const sid = script.request("GET", engine(eio, "polling"));
  if (eio === 4 && random.chance(0.8)) script.request("POST", engine(eio, "polling", sid), { body: quote("40") });
  if (random.chance(0.7)) script.request("GET", engine(eio, "polling", sid));
  const polls = [];
  if (random.chance(0.6)) polls.push(script.request("GET", engine(eio, "polling", sid)));
  const sockets = [script.request("WS", engine(random.chance(0.05) ? 7 - eio : eio, "websocket", sid))];
  const words = ["2probe", "5"].filter(() => random.chance(0.85));
  for (let left = words.length + random.below(4); left > 0; left -= 1) {
    const isNext = words.length > 0 && random.chance(0.5);
    if (isNext) script.add(`${sockets[0]} < ${quote(words.shift())}`);
    else upgradeStep(script, random, eio, sid, sockets, polls);
  }
  words.forEach((word) => script.add(`${sockets[0]} < ${quote(word)}`));
  for (let left = random.below(3); left > 0; left -= 1) upgradeStep(script, random, eio, sid, sockets, polls);
}

function upgradeStep(script, random, eio, sid, sockets, polls) {
  const ask = eio === 4 ? '421["nothing"]' : '14:421["nothing"]';
  random.weighted([
    [3, () => script.request("POST", engine(eio, "polling", sid), { body: quote(ask) })],
    [2, () => polls.push(script.request("GET", engine(eio, "polling", sid)))],
    [2, () => script.add(`${random.pick(sockets)} < ${quote('422["nothing"]')}`)],
    [
      2,
      () =>
        script.add(
          `${random.pick(sockets)} < ${quote(random.pick(["2", "3", "5", "2probe", "3probe", "1", "6", "x", "41", "2other"]))}`,
        ),
    ],
    [1, () => sockets.push(script.request("WS", engine(eio, "websocket", sid)))],
    [1, () => script.add(`${random.pick(sockets)} ${random.pick(["drop", "close", "close 1000", "half"])}`)],
    [0.5, () => polls.length > 0 && script.add(`${random.pick(polls)} drop`)],
    [0.5, () => script.add(`${random.pick(sockets)} frame ${random.pick(["89", "8a"])} "x"`)],
    [0.5, () => script.add(`${random.pick(sockets)} < hex:${random.pick(BINARY)}`)],
    [1, () => script.request("POST", engine(eio, "polling", sid), { body: quote(eio === 4 ? "1" : "1:1") })],
  ])();
}

// --- Deadlines ----------------------------------------------------------------------------------------------------

function heartbeats(script, random) {
  const eio = random.pick([3, 4]);
  const transport = random.pick(["polling", "websocket"]);
  if (transport === "websocket") return socketHeartbeats(script, random, eio);
  const sid = script.request("GET", engine(eio, "polling"));
  const say = (packet) =>
    script.request("POST", engine(eio, "polling", sid), {
      body: quote(eio === 4 ? packet : `${packet.length}:${packet}`),
    });
  const listen = () => script.add(`${script.request("GET", engine(eio, "polling", sid))} wait`);
  if (eio === 3 || random.chance(0.8)) {
    if (eio === 4) say("40");
    script.request("GET", engine(eio, "polling", sid));
  }
  if (random.chance(0.3)) {
    const socket = script.request("WS", engine(eio, "websocket", sid));
    if (random.chance(0.6)) script.add(`${socket} < "2probe"`);
    return script.add(`${socket} wait`);
  }
  for (let left = random.below(3); left > 0; left -= 1) {
    if (eio === 4) listen();
    random.weighted([
      [6, () => say(eio === 4 ? "3" : "2")],
      [1, () => say('421["nothing"]')],
      [1, () => {}],
    ])();
    if (eio === 3) script.request("GET", engine(eio, "polling", sid));
  }
  listen();
  script.request("GET", engine(eio, "polling", sid));
}

function socketHeartbeats(script, random, eio) {
  const socket = script.request("WS", engine(eio, "websocket"));
  if (random.chance(0.8)) script.add(`${socket} < ${quote(eio === 4 ? "40" : "2")}`);
  for (let left = random.below(4); left > 0; left -= 1) {
    if (eio === 4) script.add(`${socket} wait`);
    script.add(
      `${socket} < ${quote(
        random.weighted([
          [6, eio === 4 ? "3" : "2"],
          [1, '421["nothing"]'],
          [1, eio === 4 ? "3x" : "2x"],
          [1, "6"],
        ]),
      )}`,
    );
  }
  script.add(`${socket} wait`);
  script.add(`${socket} wait`);
  script.add(`${socket} wait`);
}
