// The chat log: the newest lines only, appended once a frame, with receipts for one's own.

import { avatar, byId, hueOf, icon, localPicture, make } from "./dom.js";
import { giftName, t } from "./i18n.js";
import { nameButton } from "./names.js";
import { drawRole, roleMark } from "./people.js";

const LINES_MAX = 200;
const REMOVED_MAX = 500;
/** The reader is "at the end" within this distance, and stays there when lines arrive. */
const END_PX = 60;

export class Chat {
  #people;
  #list = byId("chat");
  #latest = byId("chat-latest");
  #queue = [];
  #frame = 0;
  /** Lines of comments by their ids: a comment has one line, whichever way it came. */
  #lines = new Map();
  /** Ids of comments that were removed: they may still arrive, from a history that was read before. */
  #removed = new Set();
  #entrance = null;
  #atEnd = true;

  constructor(people) {
    this.#people = people;
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
    this.#removed.clear();
    this.#entrance = null;
    this.#atEnd = true;
    this.#latest.hidden = true;
    this.#list.replaceChildren();
  }

  /** A comment of somebody. `id` lets it be removed later. */
  comment(comment) {
    const known = this.#lines.get(String(comment.id));
    if (known?.dataset.preview) {
      delete known.dataset.preview;
      return this.#append(known);
    }
    if (this.#isKnown(comment.id)) return;
    const line = this.#commentLine(comment);
    this.#remember(comment.id, line);
    this.#append(line);
  }

  /** A comment that only moderators see until it gets its place. */
  preview(comment) {
    if (this.#isKnown(comment.id)) return;
    const line = this.#commentLine(comment);
    line.dataset.preview = "true";
    line.title = t("preview");
    this.#remember(comment.id, line);
    this.#append(line);
  }

  /**
   * Marks the end of what was said so far. Returns how to add what was said before that and is not
   * in the log: `comments` of the history, newest first.
   */
  gap() {
    this.#flush();
    const mark = make("li", { hidden: true });
    this.#list.append(mark);
    return (comments) => this.#fill(mark, comments);
  }

  /** One's own comment before it is answered. Returns how to say what became of it. */
  ownComment({ retry, ...comment }) {
    const mark = make("span", { className: "mark", attributes: { role: "status" } });
    const said = { ...comment, at: Date.now() };
    const line = this.#commentLine(said);
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
        // The history may have had it before the answer.
        this.#lines.get(String(id))?.remove();
        said.id = id;
        this.#remember(id, line);
        receipt(status, t(status), status === "delivered" ? "check" : "clock");
      },
      /** One that was held has got its place. */
      shown: () => {
        receipt("delivered", t("delivered"), "check");
        this.#append(line);
      },
      denied: (reason) => receipt("failed", reason, "close"),
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
      nameButton(user), `${t("gave")} ${giftName(name)}`,
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
    const key = String(id);
    this.#lines.get(key)?.remove();
    this.#queue = this.#queue.filter((line) => line !== this.#lines.get(key));
    this.#lines.delete(key);
    this.#removed.add(key);
    if (this.#removed.size > REMOVED_MAX) this.#removed.delete(this.#removed.values().next().value);
  }

  #fill(mark, comments) {
    this.#flush();
    // Too much was said meanwhile, or the room was left: the log has no place for it any more.
    if (!mark.isConnected) return;
    const lines = [];
    for (const comment of comments) {
      const known = this.#lines.get(String(comment.id));
      const isBefore = known && mark.compareDocumentPosition(known) & Node.DOCUMENT_POSITION_PRECEDING;
      if (isBefore) break;
      if (this.#isKnown(comment.id)) continue;
      const line = this.#commentLine(comment);
      this.#lines.set(String(comment.id), line);
      lines.unshift(line);
    }
    // Old news: a screen reader is not to read all of it out.
    this.#list.setAttribute("aria-live", "off");
    mark.replaceWith(...lines);
    this.#trim();
    requestAnimationFrame(() => this.#list.setAttribute("aria-live", "polite"));
  }

  #isKnown(id) {
    return this.#lines.has(String(id)) || this.#removed.has(String(id));
  }

  /** Marks people anew: the role of one changed, or of several. */
  drawRoles(userId) {
    const lines = userId === null ? "li[data-user]" : `li[data-user="${userId}"]`;
    for (const line of [...this.#list.querySelectorAll(lines), ...this.#queue]) {
      const mark = line.querySelector(".role");
      if (mark) drawRole(mark, this.#people.roleOf(Number(line.dataset.user)));
    }
  }

  #commentLine(comment) {
    const { user, content } = comment;
    const words = make("span", { className: "words" },
      roleMark(this.#people.roleOf(user.id)), nameButton(user, () => comment), make("span", { className: "text" }, content));
    words.style.setProperty("--hue", hueOf(user.id ?? user.name));
    return make("li", { dataset: { user: user.id } }, avatar(user, "mini"), words);
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
    this.#frame ||= requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (this.#queue.length === 0) return;
    this.#list.append(...this.#queue);
    this.#queue = [];
    this.#trim();
  }

  /** Keeps the newest lines, and a reader who is at the end there. */
  #trim() {
    while (this.#list.children.length > LINES_MAX) this.#list.firstElementChild.remove();
    if (this.#atEnd) this.#scrollToEnd();
    else this.#latest.hidden = false;
  }

  #scrollToEnd() {
    this.#atEnd = true;
    this.#latest.hidden = true;
    this.#list.scrollTop = this.#list.scrollHeight;
  }
}
