// The line to write a comment in.

import { byId } from "./dom.js";

/** The server refuses longer comments; it counts code points, as this does. */
const CHARS_MAX = 200;
const CHARS_SHOWN_FROM = 150;

export class Composer {
  #input = byId("comment-input");
  #left = byId("comment-left");
  #send = byId("comment-send");
  #note = byId("composer-note");
  #open = false;
  /** What the reader cannot do now, for the reason that the note says: `writing`, `sending` or `nothing`. */
  #stopped = "nothing";

  /** `onComment(text)` gets what is ready to be sent. */
  constructor(onComment) {
    this.#input.addEventListener("input", () => this.#draw());
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#input.value.trim();
      if (this.#send.disabled || text === "") return;
      this.#input.value = "";
      this.#draw();
      onComment(text);
    });
  }

  setOpen(open) {
    this.#open = open;
    this.#draw();
  }

  /** Says in words what keeps the reader from commenting, and from what of it; null if nothing does. */
  explain(words, stopped = "nothing") {
    this.#note.hidden = words === null;
    this.#note.textContent = words ?? "";
    this.#stopped = stopped;
    this.#draw();
  }

  #draw() {
    this.#input.disabled = !this.#open || this.#stopped === "writing";
    const chars = [...this.#input.value.trim()].length;
    this.#left.hidden = chars < CHARS_SHOWN_FROM;
    this.#left.textContent = CHARS_MAX - chars;
    this.#left.classList.toggle("over", chars > CHARS_MAX);
    this.#send.disabled = !this.#open || this.#stopped !== "nothing" || chars > CHARS_MAX;
  }
}
