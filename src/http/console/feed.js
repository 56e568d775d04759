// The live feed at /admin/feed. One view at a time; none while the tab is hidden, and no connection while no page wants one.

const BACKOFF_MS_MIN = 1_000;
const BACKOFF_MS_MAX = 20_000;
/** The overview comes each second. A line that is silent for so long is dead. */
const SILENT_MS_MAX = 15_000;
/** Codes after which coming back would be wrong: the session ended. */
const ENDED = 3000;

export class Feed {
  #onState;
  #onEnded;
  #socket = null;
  #view = null;
  #onMessage = null;
  #attempt = 0;
  #timer = 0;
  #silence = 0;

  /** `onState(state, {retryMs})` with `none`, `connecting`, `open` or `waiting`; `onEnded()` when the session is over. */
  constructor({ onState, onEnded }) {
    this.#onState = onState;
    this.#onEnded = onEnded;
    document.addEventListener("visibilitychange", () => this.#wake());
    addEventListener("online", () => this.#wake());
  }

  /** Has `view` sent to `onMessage(message)` until the function that is returned is called. */
  watch(view, onMessage) {
    this.#view = view;
    this.#onMessage = onMessage;
    if (this.#socket) this.#send();
    else this.#connect();
    return () => this.#onMessage === onMessage && this.stop();
  }

  /** Asks for another view in place of the one that is watched. */
  change(view) {
    this.#view = view;
    this.#send();
  }

  stop() {
    this.#view = null;
    this.#onMessage = null;
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    const socket = this.#socket;
    this.#socket = null;
    // A browser reports it as an error when a connection is given up before there is one.
    if (socket?.readyState === WebSocket.CONNECTING) socket.addEventListener("open", () => socket.close(1000));
    else socket?.close(1000);
    this.#onState("none", {});
  }

  #wake() {
    if (this.#socket) this.#send();
    else if (this.#view && !document.hidden) this.#connect();
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#onState("connecting", {});
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/admin/feed`);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      if (socket !== this.#socket) return;
      this.#onState("open", {});
      this.#send();
    });
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.#socket) return;
      this.#attempt = 0;
      this.#listenForSilence();
      this.#onMessage?.(JSON.parse(data));
    });
    socket.addEventListener("close", ({ code }) => socket === this.#socket && this.#closed(code));
  }

  #closed(code) {
    this.#socket = null;
    clearTimeout(this.#silence);
    if (code === ENDED) return this.#onEnded();
    const longest = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** this.#attempt++);
    const retryMs = longest * (0.5 + Math.random() / 2);
    this.#onState("waiting", { retryMs });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#wake(), retryMs);
  }

  /** Sends what is to be shown, if anybody looks. */
  #send() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(JSON.stringify(document.hidden || !this.#view ? { view: "none" } : this.#view));
    this.#listenForSilence();
  }

  #listenForSilence() {
    clearTimeout(this.#silence);
    if (document.hidden || this.#view?.view !== "overview") return;
    this.#silence = setTimeout(() => this.#socket?.close(4000), SILENT_MS_MAX);
  }
}
