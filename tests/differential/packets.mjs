// The packets of generated scripts: what a client says inside Engine.IO, well and badly.

export const quote = (text) => JSON.stringify(text);

const NAMESPACES = ["", "/", "/,", "/chat,", "/chat", "/chat?a=b,", "/?a=b,", "/世界,", "//,", "/a b,"];
const NUMBERS = [
  "7",
  "7.0",
  "1e0",
  "-0",
  "0",
  "1e400",
  "-1",
  "9007199254740993",
  "0.1",
  "1E+2",
  "07",
  "7.",
  ".7",
  "+7",
  "NaN",
  "0x7",
];
const EVENTS = [
  "joinLive",
  "leaveLive",
  "comment",
  "gift",
  "ping",
  "nothing",
  "connect",
  "disconnect",
  "error",
  "newListener",
  "__proto__",
  "",
];

export function json(random, depth = 0) {
  return random.weighted([
    [3, () => random.pick(NUMBERS.slice(0, 10))],
    [2, () => quote(random.pick(["", "x", "世界", "😀", "\u0000", "\u2028", 'a\\b"', "é"]))],
    [1, () => random.pick(["true", "false", "null"])],
    [1, () => random.pick(['"\\ud83d"', '"\\u0000"', '"\\/"', '" "'])],
    [depth > 2 ? 0 : 2, () => `[${Array.from({ length: random.below(3) }, () => json(random, depth + 1)).join(",")}]`],
    [
      depth > 2 ? 0 : 2,
      () =>
        `{${Array.from({ length: random.below(3) }, () => `${quote(random.pick(["token", "live_id", "a", "__proto__", "data"]))}:${json(random, depth + 1)}`).join(",")}}`,
    ],
  ])();
}

const BAD_JSON = [
  "{",
  "[",
  "[]",
  "{}",
  "null",
  "1",
  '"x"',
  '["x"',
  '["x"]]',
  '["x",]',
  '["x",NaN]',
  '["x"]\u0000',
  ' ["x"]',
  '["x"] ',
  "['x']",
  '["x",01]',
  '["x",7.]',
  "[null]",
  "[true]",
  "[[]]",
  "[7]",
  "[7.5]",
  "[{}]",
  '[""]',
  "false",
  "\ufeff[]",
  '["x" "y"]',
  '["\u0001"]',
];

function eventData(random) {
  return random.weighted([
    [
      6,
      () =>
        `[${quote(random.pick(EVENTS))}${Array.from({ length: random.below(3) }, () => `,${json(random)}`).join("")}]`,
    ],
    [2, () => random.pick(BAD_JSON)],
    [1, () => `["joinLive",{"live_id":${random.pick(NUMBERS)}}]`],
  ])();
}

/** A Socket.IO packet, with the 4 of its message in front. */
export function message(random) {
  const id = random.chance(0.6)
    ? random.weighted([
        [5, `${random.below(20)}`],
        [1, random.pick(["00", "007", "9007199254740993", "1.5", "-1", "1e3", " 1", "99999999999999999999999"])],
      ])
    : "";
  const namespace = random.weighted([
    [8, ""],
    [1, random.pick(NAMESPACES)],
  ]);
  return random.weighted([
    [8, () => `42${namespace}${id}${eventData(random)}`],
    [2, () => `43${namespace}${id}${random.pick(["[]", "[1]", "", "{}", '["x"]'])}`],
    [2, () => `40${random.pick(NAMESPACES)}${random.pick(["", "", "{}", '{"token":"x"}', "[]", "null", "x", '"x"'])}`],
    [1, () => `41${random.pick([...NAMESPACES, "{}", "x", "1"])}`],
    [1, () => `44${random.pick([...NAMESPACES, "{}", '"x"', "x"])}`],
    [
      2,
      () => `45${random.pick(["0", "1", "2", "9", "11", "-1", "", "1.0", "x"])}-${namespace}${id}${eventData(random)}`,
    ],
    [1, () => `46${random.pick(["0", "1", ""])}-${id}[]`],
    [1, () => random.pick(["4", "47", "4x", "4-1", '4 2["x"]', "42", "43", "451-", "40,", '42,["x"]'])],
  ])();
}

export const BINARY = ["", "04", "0401", "01", "00", "02", "ff", "0461", "b4"];

/** A binary event with as many attachments as it says, or not quite. */
export function binaryEvent(random) {
  const count = 1 + random.below(2);
  const placeholders = Array.from(
    { length: count },
    (_, at) =>
      `{"_placeholder":true,"num":${random.weighted([
        [8, at],
        [1, random.pick([-1, 5, 0.5, '"0"', "null"])],
      ])}}`,
  );
  const id = random.chance(0.7) ? `${random.below(20)}` : "";
  const announced = random.weighted([
    [8, count],
    [1, count + 1],
    [1, count - 1],
  ]);
  const attachments = random.weighted([
    [8, count],
    [1, count + 1],
    [1, count - 1],
  ]);
  return { text: `45${announced}-${id}["joinLive",${placeholders.join(",")}]`, attachments };
}

/** A packet of Engine.IO that is no message. */
function enginePacket(random) {
  return random.pick([
    "0",
    "1",
    "2",
    "3",
    "5",
    "6",
    "7",
    "9",
    "x",
    "2probe",
    "3probe",
    "2x",
    "5x",
    "6x",
    "1x",
    "b",
    "bAQID",
    "b4AQID",
    "bx!",
    "",
    " ",
    "-1",
    "é",
    "\u0000",
  ]);
}

export function packet(random) {
  return random.weighted([
    [6, () => message(random)],
    [1, () => enginePacket(random)],
  ])();
}
