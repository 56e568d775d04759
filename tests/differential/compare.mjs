// Whether two traces of one script say the same, and if not, whether that is a listed difference.

import { differences } from "./differences.mjs";
import { parseStep } from "./script.mjs";

/**
 * The first place where the traces differ, as `{name, step, line, reference, liveroom, listed}`, or nothing. Events of
 * one connection are compared in order, with the steps during which they came; connections are independent.
 * `listed` is the title of the listed difference that this is, if it is one.
 */
export function compare(lines, traces) {
  const steps = lines.map(parseStep);
  const request = (name) => steps.find((step) => step.verb === "request" && step.name === name);
  // What the list of differences may look at: the steps, what each sends, the request of a connection, both traces.
  const context = { steps, request, traces, sent: steps.map((_, index) => sent(steps, index)) };
  const { reference, liveroom } = traces;
  const names = [...new Set([...reference, ...liveroom].map((event) => event.name))];
  const found = names.map((name) => firstDifference(name, traces, context)).filter((difference) => difference);
  found.sort((one, other) => one.step - other.step);
  const [difference] = found;
  if (!difference) return undefined;
  const whole = { ...difference, line: lines[difference.step] };
  const listed = differences.find((listed) => listed.explains?.(whole, context));
  return { ...whole, listed: listed?.title };
}

/** What a step sends on a socket or in a POST, as text, with the fragments before it. */
function sent(steps, index) {
  const { verb, name, bytes, body, firstByte } = steps[index];
  if (verb !== "frame") return (bytes ?? body ?? "").toString();
  const fragments = steps
    .slice(0, index)
    .filter((step) => step.name === name && step.verb === "frame" && step.firstByte < 0x80);
  return [...(firstByte === 0x80 ? fragments : []), steps[index]].map((step) => step.bytes.toString()).join("");
}

function firstDifference(name, traces, context) {
  const [theirs, ours] = [traces.reference, traces.liveroom].map((trace) =>
    trace.filter((event) => event.name === name),
  );
  for (let at = 0; at < Math.max(theirs.length, ours.length); at += 1) {
    const events = { reference: theirs[at], liveroom: ours[at] };
    const [reference, liveroom] = [say(rewritten(theirs[at], ours[at], context)), say(ours[at])];
    if (reference === liveroom && theirs[at].step === ours[at].step) continue;
    const step = Math.min(theirs[at]?.step ?? Infinity, ours[at]?.step ?? Infinity);
    if (reference !== liveroom) return { name, step, reference, liveroom, events };
    const late = (event) => `${say(event)} (during step ${event.step + 1})`;
    return { name, step, reference: late(theirs[at]), liveroom: late(ours[at]), events };
  }
  return undefined;
}

/** What liveroom says instead of this event of the reference. */
function rewritten(event, our, context) {
  if (event === undefined) return undefined;
  return differences.reduce((event, { rewrite }) => (rewrite ? rewrite(event, context, our) : event), event);
}

/** An event as a line. */
export function say(event) {
  switch (event?.kind) {
    case undefined:
      return "nothing";
    case "response": {
      const headers = Object.keys(event.headers)
        .sort()
        .map((name) => ` [${name}: ${event.headers[name]}]`);
      return `${event.status}${headers.join("")}${event.body === undefined ? "" : ` ${JSON.stringify(event.body)}`}`;
    }
    case "packet":
      return JSON.stringify(
        event.text.length > 300 ? `${event.text.slice(0, 300)}… (${event.text.length})` : event.text,
      );
    case "binary":
      return `binary ${event.hex}`;
    case "close":
      return `close ${event.code} ${JSON.stringify(event.reason)}`;
    case "pong":
      return `pong ${JSON.stringify(event.text)}`;
    default:
      return event.kind;
  }
}

/** What makes two differences the same finding. */
export function signature({ line, reference, liveroom }) {
  const kind = line.replaceAll(/^\w+|\{\w+\}/g, "_");
  return `${kind} | ${reference} | ${liveroom}`;
}
