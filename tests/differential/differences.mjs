// Where liveroom differs from socket.io 4.8 on purpose. The README has the same table; a test compares them.
//
// `rewrite` makes an event of the reference what liveroom says instead, wherever it occurs (`our` is the event that
// liveroom has in its place). `explains` says whether the first difference of a script is this one; what follows in
// that script is then not compared. `context` is the script: see compare.mjs. `kind` is that of the scripts which show it,
// if it is not `patient`.

import { revision } from "./payload.mjs";

const parameter = (request, name) => new URLSearchParams((request.target ?? "").split("?")[1]).get(name);

const isV3 = (name, context) => revision(context.request(name).target) === 3;

const isResponse = (event, ...statuses) => event?.kind === "response" && statuses.includes(event.status);

/** Whether an error of Engine.IO with this code is what liveroom says. */
const isRefused = ({ events }, code) => isResponse(events.liveroom, 400) && events.liveroom.body.includes(`"code":${code},`);

/** Whether liveroom ended the session where the reference did not. */
const isEnded = ({ name, events }, { traces }) =>
  events.liveroom?.kind === "close" ||
  isResponse(events.liveroom, 400) ||
  traces.liveroom.some((event) => event.name === name && event.kind === "packet" && event.text === "1");

/** Whether the client had said something like this when the difference showed. */
const said = ({ step }, context, pattern) => context.sent.slice(0, step + 1).some((text) => pattern.test(text));

/** The sid of a request, as the name of the connection that was given it. */
const sidOf = (request) => /sid=\{(\w+)\}/.exec(request?.target ?? "")?.[1];

export const differences = [
  {
    title: "Revision 3: `maxPayload` in the open packet",
    reference: "sent",
    liveroom: "not sent",
    why: "socket.io 2 does not send it, and its clients do not read it",
    rewrite: (event, context) =>
      event.kind === "packet" && event.text.startsWith('0{"sid"') && isV3(event.name, context)
        ? { ...event, text: event.text.replace(/,"maxPayload":\d+/, "") }
        : event,
  },
  {
    title: "Revision 3: the cookie `io`",
    reference: "only if configured",
    liveroom: "with each answer to a poll or POST",
    why: "as socket.io 2 sets it; balancers keep sessions together by it, and it holds a secret that the session asks for",
    rewrite: (event, context) =>
      isResponse(event, 200) && isV3(event.name, context)
        ? { ...event, headers: { ...event.headers, "set-cookie": "io=<cookie>; Path=/; HttpOnly; SameSite=Strict" } }
        : event,
  },
  {
    title: "Revision 3: a request without `Origin`",
    reference: "`Access-Control-Allow-Credentials`",
    liveroom: "`Access-Control-Allow-Origin: *`",
    why: "as socket.io 2 answers it",
    rewrite: (event, context) => {
      const isOther = event.kind !== "response" || !isV3(event.name, context) || !("vary" in event.headers);
      if (isOther || context.request(event.name).headers.origin) return event;
      const { "access-control-allow-credentials": _, ...headers } = event.headers;
      return { ...event, headers: { ...headers, "access-control-allow-origin": "*" } };
    },
  },
  {
    title: "Revision 3: CONNECT to an unknown namespace",
    reference: '`44/nsp,{"message":"Invalid namespace"}`',
    liveroom: '`44/nsp,"Invalid namespace"`',
    why: "as socket.io 2 says it, whose clients expect a text",
    rewrite: (event, context) =>
      event.kind === "packet" && isV3(event.name, context)
        ? { ...event, text: event.text.replace(/^(44.*),\{"message":("Invalid namespace")\}$/, "$1,$2") }
        : event,
  },
  {
    title: "Close frames of a WebSocket that is closed for a reason",
    reference: "without a code, or with that of RFC 6455 alone",
    liveroom: "with a code and a reason",
    why: "a log then says why; clients treat them alike",
    rewrite: (event, _, our) => (event.kind === "close" && our?.kind === "close" ? our : event),
  },
  {
    title: "Refusals of HTTP requests that say nothing",
    reference: "400 without a body (overlapping requests) or 500 (methods other than GET, POST and OPTIONS)",
    liveroom: "400 with the code and message of a bad request",
    why: "the client can tell why; nothing was wrong with the server",
    rewrite: (event, _, our) =>
      isResponse(event, 400, 500) && event.body === "" && isResponse(our, 400) ? our : event,
  },
  {
    title: "Refusals of WebSockets",
    reference: "the message as `text/html`, without CORS headers",
    liveroom: "JSON, as for any other request",
    why: "one form for all refusals",
    rewrite: (event, context, our) => {
      const isSame = isResponse(event, 400) && isResponse(our, 400) && our.body.includes(`"message":"${event.body}"`);
      return context.request(event.name).isWebSocket && isSame ? our : event;
    },
  },
  {
    title: "Revision 3: packets of a namespace that is not connected, and error packets",
    reference: "end the session",
    liveroom: "are ignored",
    why: "as socket.io 2 does; its clients may send them while a namespace is refused",
    explains: (difference, context) =>
      isV3(difference.name, context) && said(difference, context, /(^|[^0-9])4(4|[1236][^[{]*\/|5[0-9.x-]*\/)/),
  },
  {
    title: "Revision 3: names of namespaces",
    reference: "are paths of URLs",
    liveroom: "are taken as they are written, but for a query behind them",
    why: "as socket.io 2 does",
    explains: (difference, context) =>
      isV3(difference.name, context) && said(difference, context, /4[01]\/([^,]*[^\w,?=&/]|\/)/),
  },
  {
    title: "Revision 3: a pong of the client",
    reference: "ends the session",
    liveroom: "is a sign of life",
    why: "as with socket.io 2",
    explains: (difference, context) => isV3(difference.name, context) && said(difference, context, /^3(?!\d*:)|\d:3|\ufffd3/),
  },
  {
    title: "Revision 3: binary packets other than messages",
    reference: "are taken for pings, pongs and so on",
    liveroom: "end the session",
    why: "only messages are binary",
    explains: (difference, context) => {
      const step = context.steps[difference.step];
      const isFrame = step.verb === "send" && !step.isText && step.bytes[0] !== 4;
      const isPost = step.headers?.["content-type"] === "application/octet-stream" && isEnded(difference, context);
      const isBase64 = said(difference, context, /(^|:)b([^4]|$)/);
      return isV3(difference.name, context) && (isFrame || isPost || isBase64);
    },
  },
  {
    title: "A WebSocket whose client half-closes",
    reference: "ends at once",
    liveroom: "gets a close frame first",
    why: "the client may still read it",
    explains: ({ name, events }, { steps }) =>
      events.liveroom?.kind === "close" && steps.some((step) => step.name === name && step.verb === "half"),
  },
  {
    title: "A hanging poll whose client half-closes",
    reference: "the connection is closed",
    liveroom: "400, bad request, then the connection is closed",
    why: "a client that still reads learns that this poll brings nothing",
    explains: ({ name, events }, { steps }) =>
      events.reference?.kind === "end" &&
      isResponse(events.liveroom, 400) &&
      steps.some((step) => step.name === name && step.verb === "half"),
  },
  {
    title: "The connection after frames that break RFC 6455",
    reference: "is cut at once",
    liveroom: "ends when the client ends it, within 1 s",
    why: "bytes still on their way would make a reset of it, and the close frame be lost",
    explains: ({ name, events }, { traces }) =>
      events.reference?.kind === "end" &&
      events.liveroom?.kind === "end" &&
      traces.liveroom.some((event) => event.name === name && [1007, 1008, 1009].includes(event.code)),
  },
  {
    title: "A POST whose body is under way when its session ends",
    reference: "the connection is closed",
    liveroom: "the request is refused",
    why: "an answer says what happened",
    explains: ({ name, step, events }, { steps, request }) =>
      "content-length" in request(name).headers &&
      steps[step].name !== name &&
      isResponse(events.liveroom, 400) &&
      events.reference?.kind === "end",
  },
  {
    title: "A POST whose packets are not the protocol",
    reference: "200 `ok`, or the connection is closed; the session ends",
    liveroom: "400; the session ends",
    why: "the public suite of Engine.IO asks for 400",
    explains: ({ step, events }, { steps }) =>
      steps[step].method === "POST" &&
      isResponse(events.liveroom, 400) &&
      (isResponse(events.reference, 200) || events.reference?.kind === "end"),
  },
  {
    title: "An upgrade without a probe",
    reference: "is carried out",
    liveroom: "is refused, polling goes on",
    why: "the protocol asks for the probe; without it packets that a poll took may be lost",
    explains: ({ name, step, line }, { steps, request, sent }) =>
      request(name).isWebSocket &&
      sidOf(request(name)) !== undefined &&
      line.endsWith('< "5"') &&
      !steps.slice(0, step).some((before, index) => before.name === name && sent[index] === "2probe"),
  },
  {
    title: "After an invalid Socket.IO packet by polling",
    reference: "one more poll is answered, with `1` in the end; POSTs and a probe go on until then",
    liveroom: "400, session ID unknown; a probe is closed",
    why: "the session is over, and the client comes back after either",
    explains: (difference, context) => {
      const sid = sidOf(context.request(difference.name));
      const isPost = (step) => step.method === "POST" && sidOf(step) === sid;
      if (context.steps[difference.step].verb === "wait") return false;
      const isOver = isRefused(difference, 1) || difference.events.liveroom?.kind === "close";
      return isOver && context.steps.slice(0, difference.step + 1).some(isPost) && context.traces.reference.over.has(sid);
    },
  },
  {
    kind: "hasty",
    title: "A poll that hangs when its session times out",
    reference: "is answered `1`",
    liveroom: "400, session ID unknown",
    why: "socket.io-client comes back after either, python-socketio only after the latter",
    explains: (difference, { steps, traces }) =>
      steps[difference.step].verb === "wait" &&
      isRefused(difference, 1) &&
      traces.reference.some((event) => event.name === difference.name && event.text === "1"),
  },
  {
    kind: "hasty",
    title: "Revision 4: packets other than a pong while one is due",
    reference: "put the deadline off once",
    liveroom: "are as good as a pong",
    why: "a client that talks is there",
    explains: ({ step, events }, { steps, sent }) =>
      steps[step].verb === "wait" &&
      events.liveroom?.text === "2" &&
      (events.reference?.kind === "close" || events.reference?.text === "1") &&
      sent.slice(0, step).some((text) => !["", "3", "40"].includes(text)),
  },
  {
    title: "Several packets in one POST",
    reference: "heartbeats and CONNECT are answered before events, and events before an invalid packet are dropped",
    liveroom: "are carried out in their order",
    why: "what a client sends in order has its effect in order",
    explains: ({ name, step, events }, { steps, sent, traces }) => {
      const packets = (trace) => trace.filter((event) => event.name === name && event.kind === "packet");
      const sorted = (trace) => packets(trace).map((event) => event.text).sort().join("\n");
      const isReordered = packets(traces.liveroom).length > 1 && sorted(traces.reference) === sorted(traces.liveroom);
      const isBefore = /^44/.test(events.reference?.text) && /^4[23]/.test(events.liveroom?.text);
      const isDropped = /^4[023]/.test(events.liveroom?.text) && ["1", "6"].includes(events.reference?.text);
      const isPosted = steps.slice(0, step + 1).some((step) => step.method === "POST");
      // What follows the good-bye to a namespace comes before it there.
      const isAfterLeave = events.liveroom?.kind !== undefined && /(^|\x1e|:)41/.test(sent[step]);
      return isPosted && (isReordered || isBefore || isDropped || isAfterLeave);
    },
  },
  {
    title: "A poll that hangs when the POST beside it breaks off",
    reference: "is answered `1`",
    liveroom: "is answered `6`",
    why: "the client went away, as after a good-bye",
    explains: ({ step, events }, { steps, request }) =>
      events.reference?.text === "1" &&
      events.liveroom?.text === "6" &&
      ["half", "drop"].includes(steps[step].verb) &&
      request(steps[step].name).method === "POST",
  },
  {
    title: "A poll that still hangs when the WebSocket takes over",
    reference: "is answered `1`",
    liveroom: "is answered `6`",
    why: "nothing ended; clients wait for their poll before they let a WebSocket take over",
    explains: ({ events, step }, { sent, request, steps }) =>
      events.reference?.text === "1" &&
      events.liveroom?.text === "6" &&
      sent[step] === "5" &&
      request(steps[step].name).isWebSocket,
  },
  {
    title: "The sid of a session that began on a WebSocket",
    reference: "bad request, or a second WebSocket takes over",
    liveroom: "session ID unknown",
    why: "there is nothing that another connection could do with it",
    explains: ({ step }, { steps, request }) => {
      const first = request(sidOf(steps[step]));
      return first?.isWebSocket && !parameter(first, "sid");
    },
  },
  {
    title: "A WebSocket with `transport=polling`",
    reference: "101, then closed",
    liveroom: "400, bad request",
    why: "it could never carry anything",
    explains: (difference, { steps }) =>
      steps[difference.step].isWebSocket &&
      parameter(steps[difference.step], "transport") === "polling" &&
      isRefused(difference, 3),
  },
  {
    title: "A plain GET with `transport=websocket` and the sid of an upgraded session",
    reference: "is never answered",
    liveroom: "400, bad request",
    why: "a request must not hang without end",
    explains: (difference, { request }) =>
      difference.events.reference?.kind === "goes on" &&
      parameter(request(difference.name), "transport") === "websocket" &&
      isRefused(difference, 3),
  },
  {
    title: "`EIO` other than 3 and 4",
    reference: "is 3",
    liveroom: "400, unsupported protocol version",
    why: "a client of another revision would not understand the answers",
    explains: ({ name, events }, { request }) =>
      revision(request(name).target) === undefined && isResponse(events.liveroom, 400),
  },
  {
    title: "JSONP (`j`)",
    reference: "answered with a script",
    liveroom: "400, bad request",
    why: "browsers without CORS are gone, and scripts of any page could use it",
    explains: (difference, { request }) =>
      parameter(request(difference.name), "j") !== null && isRefused(difference, 3),
  },
  {
    title: "Other spellings of the path",
    reference: "`/socket.io` is not found, whatever begins with `/socket.io/` is served",
    liveroom: "`/socket.io` is served as `/socket.io/`, and nothing else",
    why: "rules of proxies see all of it, and no client needs more",
    explains: ({ name }, { request }) => !/^\/socket\.io\/(\?|$)/.test(request(name).target),
  },
  {
    title: "A close packet (`1`) or an open packet (`0`) on a WebSocket",
    reference: "is ignored",
    liveroom: "ends the session",
    why: "the one closes the transport, the other is the server's to send",
    explains: (difference, context) =>
      context.request(difference.name).isWebSocket &&
      /^[01]/.test(context.sent[difference.step]) &&
      isEnded(difference, context),
  },
  {
    title: "Acks without an id or a payload, binary packets without a payload",
    reference: "are ignored, or wait for their attachments",
    liveroom: "end the session",
    why: "they mean nothing",
    explains: (difference, context) =>
      isEnded(difference, context) && said(difference, context, /4(3(\/,)?(\[|\d*($|\x1e|:))|[56]\d+-\d*($|\x1e)|6\d+-\[)/),
  },
  {
    title: "Attachment counts, ack ids and lengths of revision 3 that are numbers only to JavaScript (`1.0`, ` 7`)",
    reference: "are taken",
    liveroom: "end the session, or are no part of the packet",
    why: "the protocol has digits there",
    explains: (difference, context) => said(difference, context, /4([56]1\.0-|[2356][^[]* )/),
  },
  {
    title: "Ack ids above 2^53",
    reference: "are rounded",
    liveroom: "come back as they were sent, or end the session above 2^63",
    why: "an ack with another id answers nothing",
    explains: (difference, context) => said(difference, context, /4[2356](\d+-)?(\/[^,]*,)?\d{16,}/),
  },
  {
    title: "Placeholders without an attachment",
    reference: "end the session",
    liveroom: "are no text and no id, whatever their number",
    why: "no command takes binary, so attachments are not kept",
    explains: (difference, context) =>
      said(difference, context, /"_placeholder":true,"num":(-1|5|0\.5|"0"|null)|4[56]1-.*"num":1}/) &&
      (["close", undefined].includes(difference.events.reference?.kind) ||
        ["1", "6"].includes(difference.events.reference?.text)),
  },
  {
    title: "Text that is not Unicode (half of a surrogate pair) and numbers that no double holds",
    reference: "are taken as U+FFFD and Infinity",
    liveroom: "`bad_request`, as for any command",
    why: "a comment passes unchanged or is refused",
    explains: (difference, context) =>
      said(difference, context, /\\ud83d|1e400/) &&
      (!isEnded(difference, context) || difference.events.reference?.kind === "close"),
  },
];

export function table() {
  const rows = differences.map(({ title, reference, liveroom, why }) => [title, reference, liveroom, why].join(" | "));
  return ["| case | socket.io 4.8 | liveroom | reason |", "|---|---|---|---|", ...rows.map((row) => `| ${row} |`)].join("\n");
}
