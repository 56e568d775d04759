// Commands that must have one effect however often the connection breaks: each carries a
// request_id and is sent again, unchanged, until it is answered.

import { ConnectionLost } from "./socket.js";

const WAITING_MAX = 32;
const BUSY_RETRIES_MAX = 5;
/** The server remembers a comment's request_id for five minutes; later a retry could be a second comment. */
const COMMENT_MS_MAX = 120_000;

export class Outbox {
  #request;
  #rejoin;
  #entries = new Set();
  #open = false;

  /** `request(event, data)` sends one command; `rejoin()` enters the room again. */
  constructor(request, rejoin) {
    this.#request = request;
    this.#rejoin = rejoin;
  }

  /** `done(answer)` is called once; `broken()` each time the connection is lost before the answer. */
  submit(event, data, { done, broken = () => {} }) {
    if (this.#entries.size >= WAITING_MAX) return done({ ok: false, code: "outbox_full" });
    const entry = { event, data, done, broken, busyRetries: 0, inFlight: false, since: performance.now() };
    this.#entries.add(entry);
    if (this.#open) this.#send(entry);
  }

  /** The room is joined: what has no answer yet goes out, in the order it was submitted. */
  resume() {
    this.#open = true;
    for (const entry of this.#entries) if (!entry.inFlight) this.#send(entry);
  }

  /** Until `resume`, commands wait. */
  suspend() {
    this.#open = false;
  }

  /** Settles everything that waits: the room will not take it any more. */
  refuseAll(answer) {
    this.#open = false;
    for (const entry of [...this.#entries]) this.#settle(entry, answer);
  }

  async #send(entry) {
    if (entry.event === "comment" && performance.now() - entry.since > COMMENT_MS_MAX) {
      return this.#settle(entry, { ok: false, code: "expired" });
    }
    entry.inFlight = true;
    let answer;
    try {
      answer = await this.#request(entry.event, entry.data);
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      entry.broken();
      return;
    } finally {
      entry.inFlight = false;
    }
    if (!this.#entries.has(entry)) return;
    if (answer.code === "busy" && entry.busyRetries++ < BUSY_RETRIES_MAX) {
      setTimeout(() => this.#open && this.#entries.has(entry) && !entry.inFlight && this.#send(entry), answer.retry_after_ms ?? 1000);
    } else if (answer.code === "not_in_room" && entry.busyRetries++ < BUSY_RETRIES_MAX) {
      // The room was replaced under us. Joining again resumes the outbox.
      this.suspend();
      this.#rejoin();
    } else {
      this.#settle(entry, answer);
    }
  }

  #settle(entry, answer) {
    this.#entries.delete(entry);
    entry.done(answer);
  }
}
