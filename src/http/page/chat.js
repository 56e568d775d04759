// The chat log: the newest lines only, appended once a frame, with receipts for one's own.

import { avatar, byId, hueOf, icon, localPicture, make } from "./dom.js";
import { giftName, t } from "./i18n.js";

const LINES_MAX = 200;
/** The reader is "at the end" within this distance, and stays there when lines arrive. */
const END_PX = 60;

export class Chat {
  #list = byId("chat");
  #latest = byId("chat-latest");
  #queue = [];
  #frame = 0;
  #lines = new Map();
  #entrance = null;
  #atEnd = true;

  constructor() {
    this.#latest.addEventListener("click", () => this.#scrollToEnd());
    // Read when the reader scrolls, not when a line arrives: reading it then would cost a layout.
    this.#list.addEventListener("scroll", () => {
      this.#atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < END_PX;
      if (this.#atEnd) this.#latest.hidden = true;
    }, { passive: true });
  }

  clear() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#queue = [];
    this.#lines.clear();
    this.#entrance = null;
    this.#atEnd = true;
    this.#latest.hidden = true;
    this.#list.replaceChildren();
  }

  /** A comment of somebody. `id` lets it be removed later. */
  comment({ id, user, content, streamer }) {
    const line = this.#commentLine(user, content, streamer);
    this.#remember(id, line);
    this.#append(line);
  }

  /** One's own comment before it is answered. Returns how to say what became of it. */
  ownComment({ user, content, streamer, retry }) {
    const mark = make("span", { className: "mark", attributes: { role: "status" } });
    const line = this.#commentLine(user, content, streamer);
    line.append(mark);
    const receipt = (state, words, symbol) => {
      line.dataset.receipt = state;
      mark.replaceChildren(icon(symbol));
      mark.title = words;
      mark.setAttribute("aria-label", words);
    };
    receipt("sending", t("sending"), "clock");
    this.#append(line, { follow: true });
    return {
      delivered: (id, status) => {
        this.#remember(id, line);
        receipt(status, t(status), status === "delivered" ? "check" : "clock");
      },
      failed: (reason) => {
        receipt("failed", reason, "close");
        const again = make("button", { type: "button" }, t("retry"));
        again.addEventListener("click", () => {
          line.remove();
          retry();
        });
        mark.append(again);
      },
    };
  }

  gift({ user, name, image, num }) {
    const words = make("span", { className: "words" },
      make("span", { className: "who" }, user.name), `${t("gave")} ${giftName(name)}`,
      make("img", { src: localPicture(image) ?? "/assets/icon.svg", alt: "" }), make("b", {}, `×${num}`));
    words.style.setProperty("--hue", hueOf(user.id ?? user.name));
    this.#append(make("li", { className: "gift-line" }, avatar(user, "mini"), words));
  }

  /** Arrivals in a row share one line: a busy door must not push the talk away. */
  entered(user) {
    const name = user.name;
    if (this.#entrance && this.#entrance === (this.#queue.at(-1) ?? this.#list.lastElementChild)) {
      const count = Number(this.#entrance.dataset.count) + 1;
      this.#entrance.dataset.count = count;
      this.#entrance.textContent = t("enteredMany", { name, count });
      return;
    }
    this.#entrance = make("li", { className: "system", dataset: { count: 0 } }, t("entered", { name }));
    this.#append(this.#entrance);
  }

  /** A line of nobody's. The same line twice in a row says nothing new. */
  system(text, className = "system") {
    if ((this.#queue.at(-1) ?? this.#list.lastElementChild)?.textContent === text) return;
    this.#append(make("li", { className }, text));
  }

  /** Takes a comment down. */
  remove(id) {
    this.#lines.get(String(id))?.remove();
    this.#lines.delete(String(id));
  }

  #commentLine(user, content, streamer) {
    const words = make("span", { className: "words" },
      streamer ? make("span", { className: "role" }, t("streamer")) : null,
      make("span", { className: "who" }, user.name), content);
    words.style.setProperty("--hue", hueOf(user.id ?? user.name));
    return make("li", {}, avatar(user, "mini"), words);
  }

  #remember(id, line) {
    if (id === undefined || id === null) return;
    this.#lines.set(String(id), line);
    if (this.#lines.size > LINES_MAX) this.#lines.delete(this.#lines.keys().next().value);
  }

  #append(line, { follow = false } = {}) {
    if (follow) this.#atEnd = true;
    this.#queue.push(line);
    if (this.#queue.length > LINES_MAX) this.#queue.shift();
    // A hidden tab draws no frames; its queue is bounded and shown when it comes back.
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#list.append(...this.#queue);
      this.#queue = [];
      while (this.#list.children.length > LINES_MAX) this.#list.firstElementChild.remove();
      if (this.#atEnd) this.#scrollToEnd();
      else this.#latest.hidden = false;
    });
  }

  #scrollToEnd() {
    this.#atEnd = true;
    this.#latest.hidden = true;
    this.#list.scrollTop = this.#list.scrollHeight;
  }
}
