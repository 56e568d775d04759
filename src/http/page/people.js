// Who people are in a room: its streamer, the moderators, everybody else.

import { make } from "./dom.js";
import { t } from "./i18n.js";

const RANKS = { viewer: 0, moderator: 1, streamer: 2 };

export class People {
  #meId = null;
  #streamerId = null;
  #moderators = new Set();
  #onChange;

  /** `onChange(userId)` runs when a role changed; of anybody, if it names nobody. */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  open(meId, streamerId) {
    this.#meId = meId;
    this.#streamerId = streamerId;
    this.#moderators.clear();
  }

  /** Takes the answer to a join. */
  joined({ moderators = [] }) {
    const before = this.#moderators;
    this.#moderators = new Set(moderators);
    if (before.size !== moderators.length || moderators.some((id) => !before.has(id))) this.#onChange(null);
  }

  /** Takes a `role` event. */
  changed({ user, role }) {
    if (role === "moderator") this.#moderators.add(user);
    else this.#moderators.delete(user);
    this.#onChange(user);
  }

  isMe(userId) {
    return userId === this.#meId;
  }

  roleOf(userId) {
    if (userId === this.#streamerId) return "streamer";
    return this.#moderators.has(userId) ? "moderator" : "viewer";
  }

  get myRole() {
    return this.roleOf(this.#meId);
  }

  get isModerator() {
    return RANKS[this.myRole] >= RANKS.moderator;
  }

  get isStreamer() {
    return this.myRole === "streamer";
  }

  /** Whether the reader may act on this user: that takes a higher rank. */
  isAbove(userId) {
    return this.isModerator && RANKS[this.myRole] > RANKS[this.roleOf(userId)];
  }
}

/** The mark of a streamer or moderator; hidden for everybody else. */
export function roleMark(role) {
  const mark = make("span", { className: "role" });
  drawRole(mark, role);
  return mark;
}

/** Draws a mark anew. */
export function drawRole(mark, role) {
  mark.hidden = role === "viewer";
  mark.dataset.role = role;
  mark.textContent = mark.hidden ? "" : t(role);
}
