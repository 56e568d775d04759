// What waits for moderators: comments that are held for review, and comments that members reported.

import { api } from "./api.js";
import { avatar, byId, hueOf, make, toast } from "./dom.js";
import { onLanguageChange, refusalText, t } from "./i18n.js";
import { listenForNames, nameButton } from "./names.js";

/** As many as the server lets wait. */
const HELD_MAX = 200;
/** Reasons of a report that are shown. */
const REASONS_MAX = 3;

export class Queue {
  #act;
  #liveId = null;
  #frame = 0;
  #isModerator = false;
  /** By the id of the comment: `{comment, rule}`. */
  #held = new Map();
  /** By the id of the comment: `{comment, reports, reporters}`. */
  #reported = new Map();

  /** `act(event, data)` sends a command about the live; `onName(person)` opens a card. */
  constructor(act, onName) {
    this.#act = act;
    listenForNames(byId("review-list"), onName);
    byId("tab-review").addEventListener("click", () => {
      this.#read();
      this.#draw();
    });
    onLanguageChange(() => this.#draw());
  }

  /** Begins with nothing known about a live; null for none. */
  open(liveId) {
    this.#liveId = liveId;
    this.setModerator(false);
  }

  setModerator(isModerator) {
    const isNew = isModerator && !this.#isModerator;
    this.#isModerator = isModerator;
    if (!isModerator) {
      this.#held.clear();
      this.#reported.clear();
    }
    if (!isModerator && !byId("panel-review").hidden) byId("tab-chat").click();
    this.#draw();
    if (isNew) this.#read();
  }

  /** Takes a `held` event. */
  held({ comment, rule }) {
    this.#held.set(String(comment.id), { comment, rule });
    if (this.#held.size > HELD_MAX) this.#held.delete(this.#held.keys().next().value);
    this.#draw();
  }

  /** Takes a `reported` event. It names the comments alone; the server merges those of a while. */
  reported() {
    this.#readReports();
  }

  /** Comments that were shown or taken down wait no more. */
  settled(ids) {
    const gone = ids.map(String).filter((id) => this.#held.delete(id) || this.#reported.delete(id));
    if (gone.length > 0) this.#draw();
  }

  #read() {
    if (!this.#isModerator) return;
    this.#readList(api.held(this.#liveId), ({ held }) => {
      this.#held = new Map(held.map((each) => [String(each.comment.id), each]));
    });
    this.#readReports();
  }

  #readReports() {
    this.#readList(api.reports(this.#liveId), ({ reports }) => {
      this.#reported = new Map(reports.map((each) => [String(each.comment.id), each]));
    });
  }

  async #readList(request, take) {
    const liveId = this.#liveId;
    // What fails is read again with the next event, or when the list is looked at.
    const lists = await request.catch(() => null);
    if (!lists || liveId !== this.#liveId || !this.#isModerator) return;
    take(lists);
    this.#draw();
  }

  /** Once a frame, however much arrives, and the rows only if they are looked at. */
  #draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#drawNow();
    });
  }

  #drawNow() {
    const count = this.#held.size + this.#reported.size;
    byId("tab-review").hidden = !this.#isModerator;
    byId("review-count").textContent = count;
    byId("review-empty").hidden = count > 0;
    if (byId("panel-review").hidden) return;
    byId("review-list").replaceChildren(
      ...[...this.#held.values()].map(({ comment, rule }) => this.#row(comment, t("heldBy", { rule: t(`rule_${rule}`) }), [
        this.#button("approve", "primary", comment, "review", { approve: true }),
        this.#button("deny", "ghost", comment, "review", { approve: false }),
      ])),
      ...[...this.#reported.values()].map((each) => this.#row(each.comment, reportText(each), [
        this.#button("deleteComment", "ghost danger", each.comment, "deleteComment", {}),
        this.#button("dismissReports", "ghost", each.comment, "dismissReports", {}),
      ])));
  }

  #row(comment, why, buttons) {
    const name = nameButton(comment.user, () => comment);
    name.style.setProperty("--hue", hueOf(comment.user.id));
    return make("li", { dataset: { comment: comment.id } }, avatar(comment.user, "mini"),
      make("div", {}, make("p", {}, name, " ", make("span", { className: "text" }, comment.content)), make("small", {}, why),
        make("div", { className: "acts" }, ...buttons)));
  }

  #button(words, className, comment, event, data) {
    const button = make("button", { type: "button", className: `${className} small` }, t(words));
    button.addEventListener("click", async () => {
      button.disabled = true;
      const answer = await this.#act(event, { comment_id: comment.id, ...data });
      // Somebody else may have decided: then it waits no more either.
      if (!answer.ok) toast(refusalText(answer), { tone: "bad" });
      this.settled([comment.id]);
      if (!answer.ok) this.#read();
    });
    return button;
  }
}

function reportText({ reports, reporters }) {
  const reasons = [...new Set(reporters.map(({ reason }) => reason))].slice(0, REASONS_MAX);
  return t("reportedBy", { count: reports, reasons: reasons.join(" · ") });
}
