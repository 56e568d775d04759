// The live feed of a room: the newest events with what each one cost. It stands still while somebody points at it.

import { make } from "./dom.js";
import { bytesText, clockText, countText, microsText } from "./format.js";
import { giftName, t } from "./i18n.js";
import { personButton } from "./person.js";
import * as acts from "./room_acts.js";
import { may } from "./session.js";
import { button, mark } from "./ui.js";

const LINES_MAX = 200;

export class RoomFeed {
  #liveId;
  #list = make("ol", { className: "feed", attributes: { "aria-label": t("liveFeed") } });
  #note = make("p", { className: "fine note", role: "status" });
  #lines = new Map();
  #waiting = [];
  #skipped = 0;
  #isPaused = false;
  #pause;
  node;

  constructor(liveId) {
    this.#liveId = liveId;
    this.#pause = button(t("pause"), () => this.#setPaused(!this.#isPaused), { name: "pause" });
    this.#pause.setAttribute("aria-pressed", "false");
    this.node = make("div", {}, this.#note, this.#list);
    for (const end of ["mouseleave", "focusout"]) this.#list.addEventListener(end, () => this.#flush());
    this.#say();
  }

  get tools() {
    return [this.#pause];
  }

  fail(words) {
    this.#note.textContent = words;
  }

  /** Takes the events of a moment. */
  take({ events, skipped }) {
    this.#skipped += skipped;
    this.#waiting.push(...events);
    if (this.#waiting.length > LINES_MAX) this.#waiting.splice(0, this.#waiting.length - LINES_MAX);
    this.#flush();
  }

  #setPaused(isPaused) {
    this.#isPaused = isPaused;
    this.#pause.setAttribute("aria-pressed", String(isPaused));
    this.#pause.textContent = t(isPaused ? "goOn" : "pause");
    this.#flush();
  }

  #isHeld() {
    return this.#isPaused || this.#list.matches(":hover, :has(:focus-visible)");
  }

  #flush() {
    if (!this.#isHeld()) {
      for (const event of this.#waiting) this.#show(event);
      this.#waiting = [];
    }
    this.#say();
  }

  #say() {
    const words = [this.#skipped > 0 ? t("skipped", { count: countText(this.#skipped) }) : "", this.#waiting.length > 0 ? t("waitingEvents", { count: this.#waiting.length }) : ""];
    this.#note.textContent = words.filter(Boolean).join(" · ") || (this.#list.children.length === 0 ? t("feedEmpty") : t("feedCosts"));
  }

  #show(event) {
    if (event.event === "removed" || event.event === "purged") this.#markRemoved(event);
    const line = make("li", { dataset: { event: event.event } }, make("time", {}, clockText(event.at)), this.#content(event), this.#cost(event.cost));
    const id = event.comment_id ?? event.id;
    if (["comment", "held"].includes(event.event) && id !== undefined) this.#lines.set(String(id), line);
    this.#list.prepend(line);
    while (this.#list.children.length > LINES_MAX) this.#list.lastElementChild.remove();
    if (this.#lines.size > LINES_MAX) this.#lines.delete(this.#lines.keys().next().value);
  }

  #markRemoved({ id, ids = [] }) {
    for (const each of [id, ...ids]) this.#lines.get(String(each))?.classList.add("removed");
  }

  #content(event) {
    const user = { id: event.user_id ?? event.user?.id, name: event.name ?? event.user?.name };
    const who = user.id === undefined ? null : personButton(this.#liveId, user);
    const body = make("span", { className: "what" });
    if (event.event === "comment" || event.event === "held") {
      const text = event.content ?? event.data ?? event.text ?? "";
      const id = event.comment_id ?? event.id;
      body.append(who, event.event === "held" ? mark(t("heldBy", { rule: t(`rule_${event.rule}`) }), "warn") : "", make("span", { className: "said" }, text));
      if (event.event === "comment" && may("moderate")) body.append(button(t("remove"), () => acts.deleteComment(this.#liveId, { id, text }), { className: "link", name: "delete" }));
    } else if (event.event === "gift") {
      body.append(who, make("span", { className: "gold" }, t("gave", { gift: giftName(event.gift?.name ?? event.gift_name ?? `#${event.gift_id ?? ""}`), count: event.num ?? event.count ?? 1, coins: countText(event.coins) })));
    } else {
      body.append(mark(t(`event_${event.event}`)), who ?? "", make("span", { className: "said" }, describe(event)));
    }
    return body;
  }

  #cost(cost) {
    if (!cost) return make("small", { className: "cost" });
    const words = t("cost", { encode: microsText(cost.encode_us), fanOut: microsText(cost.fan_out_us), bytes: bytesText(cost.bytes), deliveries: countText(cost.deliveries) });
    return make("small", { className: "cost", title: t("costTitle", { batch: countText(cost.batch), bytes: bytesText(cost.delivered_bytes) }) }, words);
  }
}

/** What an event says that is neither a comment nor a gift. */
function describe(event) {
  const hidden = ["event", "epoch", "offset", "at", "cost", "live_id", "user", "user_id", "name"];
  const shown = Object.entries(event).filter(([name, value]) => !hidden.includes(name) && value !== null && typeof value !== "object");
  return shown.map(([name, value]) => `${name}: ${value}`).join(" · ");
}
