// The comment that is pinned above the chat.

import { byId, hueOf } from "./dom.js";
import { listenForNames, nameButton } from "./names.js";
import { drawRole } from "./people.js";

export class Pinned {
  #people;
  #comment = null;

  /** `onUnpin()` is what moderators may ask for, `onName(person)` opens a card. */
  constructor(people, onUnpin, onName) {
    this.#people = people;
    byId("unpin").addEventListener("click", onUnpin);
    listenForNames(byId("pinned"), onName);
  }

  /** `comment` is null if nothing is pinned. */
  show(comment) {
    this.#comment = comment;
    this.draw();
  }

  /** Comments were taken down; one that is pinned goes with them. */
  removed(ids) {
    if (ids.some((id) => this.isPinned(id))) this.show(null);
  }

  isPinned(id) {
    return this.#comment !== null && String(this.#comment.id) === String(id);
  }

  draw() {
    const comment = this.#comment;
    byId("pinned").hidden = !comment;
    byId("unpin").hidden = !this.#people.isModerator;
    if (!comment) return;
    const name = byId("pinned-name");
    name.replaceChildren(nameButton(comment.user, () => comment));
    name.style.setProperty("--hue", hueOf(comment.user.id));
    drawRole(byId("pinned-role"), this.#people.roleOf(comment.user.id));
    byId("pinned-text").textContent = comment.content;
  }
}
