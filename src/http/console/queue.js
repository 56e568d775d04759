// What waits for a decision: held comments and reported ones, of one room or of all of them.

import { read } from "./admin.js";
import { make, toast } from "./dom.js";
import { agoText, lengthText } from "./format.js";
import { t } from "./i18n.js";
import { newRequestId } from "./ids.js";
import { personButton } from "./person.js";
import * as acts from "./room_acts.js";
import { may } from "./session.js";
import { Trouble, button, card, errorText, every, mark, roomLink } from "./ui.js";

const REFRESH_MS = 4_000;

export class Queue {
  #liveId;
  #held = list("held");
  #reports = list("reports");
  #trouble = new Trouble();
  #stop;
  /** Comments that were decided here, until the server's list leaves them out. */
  #decided = new Set();
  #isFirst = true;
  node;

  /** `liveId` is null for all rooms. */
  constructor(liveId) {
    this.#liveId = liveId;
    this.node = make("div", { className: "queue" }, this.#trouble.node,
      card(t("held"), { name: "held" }, this.#held.node, this.#held.empty), card(t("reports"), { name: "reports" }, this.#reports.node, this.#reports.empty));
    this.#stop = every(REFRESH_MS, () => this.refresh());
  }

  close() {
    this.#stop();
  }

  async refresh() {
    const base = this.#liveId === null ? "" : `/rooms/${this.#liveId}`;
    const isPoll = !this.#isFirst;
    try {
      const [held, reports] = await Promise.all([read(`${base}/held`, {}, { isPoll }), read(`${base}/reports`, {}, { isPoll })]);
      this.#isFirst = false;
      this.#trouble.clear();
      this.#draw(this.#held, held.held, (item) => this.#heldLine(item), held.next);
      this.#draw(this.#reports, reports.reports, (item) => this.#reportLine(item), reports.next);
    } catch (error) {
      this.#trouble.show(error, () => this.refresh());
    }
  }

  #draw({ node, empty }, items, lineOf, next) {
    const open = items.filter(({ comment }) => !this.#decided.has(comment.id));
    const lines = new Map([...node.children].map((line) => [line.dataset.key, line]));
    const wanted = open.map((item) => {
      const key = `${item.comment.id} ${item.reports ?? ""}`;
      return lines.get(key) ?? withKey(lineOf(item), key);
    });
    for (const line of [...node.children]) if (!wanted.includes(line)) line.remove();
    wanted.forEach((line, index) => node.children[index] !== line && node.insertBefore(line, node.children[index] ?? null));
    empty.hidden = open.length > 0;
    node.classList.toggle("has-more", Boolean(next));
  }

  #line({ comment, live_id: liveId, title }, mark, buttons, ...more) {
    const live = this.#liveId ?? liveId ?? comment.live_id;
    const head = make("div", { className: "line-head" }, personButton(live, { id: comment.user.id, name: comment.user.name, avatar: comment.user.avatar }, () => this.refresh()),
      this.#liveId === null ? roomLink(live, title) : null, mark, make("small", {}, agoText(comment.at)));
    return make("li", {}, head, make("p", { className: "said" }, comment.content), ...more, make("div", { className: "acts" }, ...(may("moderate") ? buttons(live) : [])));
  }

  #heldLine(item) {
    const { comment, rule, expires_ms: expires } = item;
    return this.#line(item, mark(t("heldBy", { rule: t(`rule_${rule}`) }), "warn"), (live) => [
      button(t("approve"), (event) => this.#decide(event, comment, (id) => acts.review(live, comment.id, true, id)), { name: "approve" }),
      button(t("deny"), (event) => this.#decide(event, comment, (id) => acts.review(live, comment.id, false, id)), { name: "deny", className: "ghost small danger" }),
    ], make("small", { className: "fine" }, t("expiresIn", { time: lengthText(expires - Date.now()) })));
  }

  #reportLine(item) {
    const { comment, reports, reporters } = item;
    const reasons = reporters.map(({ username, reason }) => `${username}: ${reason}`).join(" · ");
    return this.#line(item, mark(t("reportCount", { count: reports }), "bad"), (live) => [
      button(t("remove"), async () => (await acts.deleteComment(live, { id: comment.id, text: comment.content })) !== undefined && this.#settle(comment), { name: "delete", className: "ghost small danger" }),
      button(t("dismissReports"), (event) => this.#decide(event, comment, (id) => acts.dismissReports(live, comment.id, id)), { name: "dismiss" }),
    ], make("small", { className: "fine" }, reasons));
  }

  /** Decides at once, without a question; what the server refuses comes back with the reason. */
  async #decide({ currentTarget }, comment, work) {
    const buttons = currentTarget.parentElement.querySelectorAll("button");
    for (const each of buttons) each.disabled = true;
    try {
      await work(newRequestId());
      this.#settle(comment);
    } catch (error) {
      toast(errorText(error), { tone: "bad" });
      for (const each of buttons) each.disabled = false;
      this.refresh();
    }
  }

  #settle({ id }) {
    this.#decided.add(id);
    toast(t("decided"), { tone: "good", key: "decided" });
    this.refresh();
  }
}

function list(name) {
  return { node: make("ul", { className: "lines", dataset: { list: name } }), empty: make("p", { className: "empty", hidden: true }, t(`empty_${name}`)) };
}

function withKey(line, key) {
  line.dataset.key = key;
  return line;
}
