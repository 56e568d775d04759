// Plays one script against one server and writes down what the server did, connection by connection.

import { setTimeout as sleep } from "node:timers/promises";

import { decodePayload, revision } from "./payload.mjs";
import { parseStep } from "./script.mjs";
import { Channel } from "./wire.mjs";

/** The longest wait for anything that must come, in ms. */
const PATIENCE_MS = 5_000;

/** How long a connection may take to end after its close frames, in ms. */
const CLOSING_MS = 2_500;

/**
 * Plays the lines and returns the trace: `[{step, name, kind, …}]`, where `step` is the index of the step during which
 * it came. Its `over` are the names of the polling sessions that were over in the end. `settleMs` is added to each step: 0 trusts the barriers alone, more tells late from never.
 */
export async function play(lines, port, settleMs) {
  const player = new Player(port, settleMs);
  try {
    for (const [index, line] of lines.entries()) await player.step(index, parseStep(line));
    return await player.finish();
  } finally {
    player.drop();
  }
}

class Player {
  #port;
  #settleMs;
  #step = 0;
  #trace = [];
  #channels = new Map();
  #sids = new Map();
  /** Sids and socket ids, which differ from server to server, by what stands for them in the trace. */
  #ids = new Map();
  /** The polling sessions that turned out to be over. */
  #over = new Set();
  /** Called at each event. */
  #wake = () => {};

  constructor(port, settleMs) {
    this.#port = port;
    this.#settleMs = settleMs;
  }

  async step(index, step) {
    this.#step = index;
    if (step.verb === "request") await this.#request(step);
    else await this.#act(this.#channels.get(step.name), step);
    if (this.#settleMs > 0) await sleep(this.#settleMs);
  }

  async finish() {
    await this.#barrier();
    if (this.#settleMs > 0) await sleep(this.#settleMs);
    const channels = [...this.#channels.entries()];
    await this.#until(() => channels.every(([, { channel }]) => channel.isDone || !channel.isClosing), CLOSING_MS);
    for (const [name, { channel }] of channels) {
      if (!channel.isDone)
        this.#trace.push({ step: this.#step, name, kind: channel.isClosing ? "never ends" : "goes on" });
    }
    const trace = [...this.#trace];
    await this.#lookForOver();
    return Object.assign(trace, { over: this.#over });
  }

  /** Polls each session once more, to know which are over. That is no part of the trace. */
  async #lookForOver() {
    for (const [name, sid] of this.#sids) {
      const { version, channel } = this.#channels.get(name);
      if (channel.isWebSocket) continue;
      const target = `/socket.io/?EIO=${version}&transport=polling&sid=${sid}`;
      for (let answer = await this.#ask(target); ; answer = await this.#ask(target)) {
        const packets = answer?.status === 200 ? decodePayload(version, answer.body) : [];
        if (answer?.status === 400 || packets.includes("1")) this.#over.add(name);
        if (packets.length === 0 || packets.includes("1")) break;
      }
    }
  }

  /** What a GET is answered with, or nothing if it hangs. */
  async #ask(target) {
    let answer;
    const channel = new Channel(this.#port, { method: "GET", target, headers: {} }, (event) => (answer = event));
    await this.#barrier(() => channel.isDone);
    if (!channel.isDone) channel.drop();
    return answer;
  }

  drop() {
    for (const { channel } of this.#channels.values()) if (!channel.isDone) channel.drop();
  }

  async #request(step) {
    const target = step.target.replaceAll(/\{(\w+)\}/g, (_, name) => this.#sids.get(name) ?? "none");
    const entry = { version: revision(target), seen: 0 };
    entry.channel = new Channel(this.#port, { ...step, target }, (event) => this.#note(step.name, entry, event));
    this.#channels.set(step.name, entry);
    const { channel } = entry;
    if (step.isWebSocket) {
      await this.#until(() => channel.isDone || channel.isWebSocket, PATIENCE_MS);
      await this.#barrier();
    } else if (step.method === "GET" && /[?&]sid=/.test(target)) {
      // A poll may hang for good reason; once two later requests were answered, it does.
      await this.#barrier(() => channel.isDone);
    } else if (step.headers["content-length"] === undefined) {
      await this.#until(() => channel.isDone, PATIENCE_MS);
    } else {
      // Its body may be incomplete.
      await this.#barrier(() => channel.isDone);
    }
  }

  async #act({ channel, ...entry }, step) {
    if (channel.isDone) return;
    switch (step.verb) {
      case "send":
        if (!channel.isWebSocket) channel.raw(step.bytes);
        else if (step.isText) channel.text(step.bytes);
        else channel.binary(step.bytes);
        break;
      case "frame":
        channel.frame(step.firstByte, step.bytes);
        break;
      case "close":
        channel.frame(
          0x88,
          step.code === undefined ? Buffer.alloc(0) : Buffer.from([step.code >> 8, step.code & 0xff]),
        );
        break;
      case "half":
        channel.half();
        break;
      case "drop":
        channel.drop();
        break;
      case "wait": {
        const before = this.#channels.get(step.name).seen;
        await this.#until(() => channel.isDone || this.#channels.get(step.name).seen > before, PATIENCE_MS);
        break;
      }
    }
    await this.#barrier();
  }

  /**
   * Returns when the server has taken in all that was sent before: two further requests, each on a new connection, were
   * answered since. The reference reads its connections in one loop and liveroom runs on one worker here, so what
   * arrived earlier is read earlier, and what it leads to at once is done before the second answer.
   */
  async #barrier(isEnough = () => false) {
    for (let round = 0; round < 2 && !isEnough(); round += 1) {
      await new Promise((resolve) => {
        const target = "/socket.io/?EIO=4&transport=polling&sid=barrier";
        const timer = setTimeout(resolve, PATIENCE_MS);
        const done = () => (clearTimeout(timer), resolve());
        new Channel(this.#port, { method: "GET", target, headers: {} }, done);
      });
    }
    // What was answered before the barrier is in our buffers by now.
    await new Promise((resolve) => setImmediate(resolve));
  }

  #until(isDone, timeMs) {
    if (isDone()) return Promise.resolve();
    return new Promise((resolve) => {
      const finish = () => {
        clearTimeout(timer);
        this.#wake = () => {};
        resolve();
      };
      const timer = setTimeout(finish, timeMs);
      this.#wake = () => isDone() && finish();
    });
  }

  #note(name, entry, event) {
    const events = this.#taken(name, entry.version, event);
    entry.seen += events.length;
    for (const event of events) this.#trace.push({ step: this.#step, name, ...event });
    // The channel changes its state after it has called us.
    setImmediate(() => this.#wake());
  }

  /** What an event is to the trace: a payload is a response and its packets. */
  #taken(name, version, event) {
    switch (event.kind) {
      case "response": {
        const headers = Object.fromEntries(
          Object.entries(event.headers).map(([header, value]) => [header, this.#header(header, value)]),
        );
        const isPayload = event.status === 200 && headers["content-type"]?.startsWith("text/plain");
        const packets = isPayload ? decodePayload(version, event.body) : undefined;
        const response = { ...event, headers, body: packets ? undefined : this.#anonymous(event.body) };
        return [response, ...(packets ?? []).map((packet) => this.#packet(name, packet))];
      }
      case "text":
        return [this.#packet(name, event.text)];
      default:
        return [event];
    }
  }

  /** A packet, with what differs from run to run or belongs to the application replaced. */
  #packet(name, packet) {
    const opened = /^0\{"sid":"([^"]*)"/.exec(packet);
    if (opened) {
      this.#sids.set(name, opened[1]);
      this.#ids.set(opened[1], `<sid ${name}>`);
    }
    const connected = /^40(?:\/[^,]*,)?\{"sid":"([^"]*)"/.exec(packet);
    if (connected) this.#ids.set(connected[1], "<id>");
    const text = this.#anonymous(packet)
      .replace(/^(43(?:\/[^,]*,)?\d+)\[.*\]$/s, "$1[answer]")
      .replace(/^(42\["<[^>]*>"),.*\]$/s, "$1,refusal]");
    return { kind: "packet", text };
  }

  #header(name, value) {
    if (name === "vary") return value.split(/, */).sort().join(", ");
    return name === "set-cookie" ? value.replace(/^io=[^;]*/, "io=<cookie>") : value;
  }

  #anonymous(text) {
    for (const [id, label] of this.#ids) text = text.replaceAll(id, label);
    return text;
  }
}
