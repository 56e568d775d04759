// Who is online: the server's list where it sends one, its count always.

import { avatar, byId, make } from "./dom.js";
import { formatCount, t } from "./i18n.js";
import { nameButton } from "./names.js";
import { roleMark } from "./people.js";

const USERS_MAX = 1_000;
const ROWS_MAX = 200;

export class Presence {
  #users = new Map();
  #count = 0;
  #frame = 0;
  #people;

  constructor(people) {
    this.#people = people;
  }

  open() {
    this.#users.clear();
    this.setCount(0);
  }

  setCount(count) {
    this.#count = count;
    this.draw();
  }

  /** Takes an `online` event. Returns whether `user` is new here. */
  update({ action, user, data, count }) {
    const isNew = action === "join" && !this.#users.has(user.id);
    if (Array.isArray(data)) {
      this.#users = new Map(data.slice(0, USERS_MAX).map((each) => [each.id, each]));
    } else if (action === "leave") {
      this.#users.delete(user.id);
    }
    this.setCount(Number.isInteger(count) ? count : this.#users.size);
    return isNew;
  }

  draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      byId("online-count").textContent = formatCount(this.#count);
      byId("online-tab-count").textContent = formatCount(this.#count);
      if (!byId("panel-online").hidden) this.#drawRows();
    });
  }

  #drawRows() {
    const rows = [...this.#users.values()].slice(0, ROWS_MAX).map((user) => make("li", {},
      avatar(user), nameButton(user),
      this.#people.isMe(user.id) ? make("small", {}, t("you")) : null, roleMark(this.#people.roleOf(user.id))));
    const focused = [...byId("online-list").children].findIndex((row) => row.contains(document.activeElement));
    byId("online-list").replaceChildren(...rows);
    // The list is drawn anew with each change; a reader who walks through it stays in its place.
    if (focused >= 0) rows[Math.min(focused, rows.length - 1)]?.querySelector(".who").focus();
    const hidden = this.#count - rows.length;
    byId("online-more").hidden = hidden <= 0;
    byId("online-more").textContent = t("more", { count: formatCount(hidden) });
  }
}
