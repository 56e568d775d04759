// The WebSocket at /ws: requests with answers, events, and coming back after a loss.

const ANSWER_MS_MAX = 10_000;
const PENDING_MAX = 64;
const BACKOFF_MS_MIN = 500;
const BACKOFF_MS_MAX = 20_000;
/** How long a connection must last before the backoff starts over. */
const STABLE_MS = 10_000;
/** Codes after which coming back by itself would be wrong: bad text, policy, size, login, removal, other device. */
const FINAL_CODES = new Set([1007, 1008, 1009, 3000, 3009, 3010]);

/** The connection went away before the answer: what was asked may or may not have happened. */
export class ConnectionLost extends Error {}

/**
 * States: `connecting`, `open`, `waiting` (until a retry), `stopped`.
 * `handlers`: onState(state, {retryMs}), onOpen(), onEvent(name, data), onFail(text), onFinal(code).
 */
export class LiveSocket {
  #handlers;
  #token;
  #socket = null;
  #pending = new Map();
  #nextId = 1;
  #attempt = 0;
  #retryTimer = 0;
  #stableTimer = 0;
  #failed = false;
  #onlineListener = () => this.#wake();

  constructor(token, handlers) {
    this.#token = token;
    this.#handlers = handlers;
  }

  connect() {
    addEventListener("online", this.#onlineListener);
    clearTimeout(this.#retryTimer);
    this.#failed = false;
    this.#handlers.onState("connecting", {});
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws?token=${encodeURIComponent(this.#token)}`);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      if (socket !== this.#socket) return;
      this.#stableTimer = setTimeout(() => { this.#attempt = 0; }, STABLE_MS);
      this.#handlers.onState("open", {});
      this.#handlers.onOpen();
    });
    socket.addEventListener("message", (message) => socket === this.#socket && this.#receive(message.data));
    socket.addEventListener("close", (event) => socket === this.#socket && this.#closed(event.code, event.reason));
  }

  /** Sends a command. Resolves with the answer, also a refusing one; rejects with `ConnectionLost`. */
  request(event, data) {
    if (this.#socket?.readyState !== WebSocket.OPEN || this.#pending.size >= PENDING_MAX) {
      return Promise.reject(new ConnectionLost());
    }
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      // The browser hides the heartbeat: a missing answer is how a dead connection shows.
      const timer = setTimeout(() => this.reconnect(), ANSWER_MS_MAX);
      this.#pending.set(id, { resolve, reject, timer });
      this.#socket.send(JSON.stringify({ id, event, data }));
    });
  }

  /** Drops the connection and takes a new one at once. */
  reconnect() {
    this.#drop(4000);
    this.connect();
  }

  /** Ends it for good. */
  close() {
    removeEventListener("online", this.#onlineListener);
    clearTimeout(this.#retryTimer);
    this.#drop(1000);
  }

  #drop(code) {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(code);
    this.#abandon();
  }

  #abandon() {
    clearTimeout(this.#stableTimer);
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(new ConnectionLost());
    }
    this.#pending.clear();
  }

  #receive(text) {
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    if (frame?.msg === "fail") {
      this.#failed = true;
      this.#handlers.onFail(String(frame.data ?? ""));
    } else if (typeof frame?.event === "string") {
      this.#handlers.onEvent(frame.event, frame.data ?? {});
    } else if (this.#pending.has(frame?.id)) {
      const { resolve, timer } = this.#pending.get(frame.id);
      this.#pending.delete(frame.id);
      clearTimeout(timer);
      resolve(frame);
    }
  }

  #closed(code, reason) {
    this.#socket = null;
    this.#abandon();
    if (this.#failed || FINAL_CODES.has(code)) {
      removeEventListener("online", this.#onlineListener);
      this.#handlers.onState("stopped", {});
      this.#handlers.onFinal(code);
      return;
    }
    const retryMs = this.#retryMs(code, reason);
    this.#handlers.onState("waiting", { retryMs });
    this.#retryTimer = setTimeout(() => this.connect(), retryMs);
  }

  /** Exponential, and random over the whole span: a thousand clients must not come back as one. */
  #retryMs(code, reason) {
    const ceiling = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** this.#attempt++);
    const jittered = BACKOFF_MS_MIN / 2 + Math.random() * ceiling;
    const hintMs = code === 3503 ? Number(/\d+/.exec(reason)?.[0] ?? 0) : 0;
    return Math.min(60_000, hintMs + jittered);
  }

  #wake() {
    if (this.#socket === null) this.connect();
  }
}
