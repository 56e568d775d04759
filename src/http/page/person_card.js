// The card of a person: who that is, what holds against them, and what the reader may do about it.

import { api, ApiError } from "./api.js";
import { avatar, byId, make, toast } from "./dom.js";
import { refusalText, t, untilText } from "./i18n.js";

/** Seconds of a sanction; 0 until this live ends, -1 for ever. */
const TERMS = [10, 60, 300, 600, 1_800, 86_400, 0, -1];
const TERM_DEFAULT = 600;
/** How many of a person's last comments one deletes at once. */
const DELETE_LAST = 50;
/** What a report may be about; the words go to moderators, in the language of who reports. */
const REPORT_REASONS = ["spam", "abuse", "sexual", "other"];
/** For so long authors may delete their own. */
const OWN_DELETE_MS = 120_000;

export class PersonCard {
  #people;
  #act;
  #onFollow;
  #dialog = byId("person-dialog");
  #live = null;
  #user = null;
  #comment = null;
  /** Counts what is asked for: an answer about the person before is ignored. */
  #visit = 0;

  /** `act(event, data)` sends a command about the live and resolves with its answer; `onFollow()` runs when the reader has followed somebody, or does no longer. */
  constructor(people, act, onFollow) {
    this.#people = people;
    this.#act = act;
    this.#onFollow = onFollow;
    byId("person-form").addEventListener("submit", (event) => event.preventDefault());
    this.#dialog.addEventListener("close", () => { this.#visit++; });
    for (const kind of ["mute", "ban", "shadow"]) {
      byId(`person-${kind}`).addEventListener("click", () => this.#sanction(kind));
    }
    const acts = {
      "person-kick": () => this.#do("kick", {}, "didKick"),
      "person-delete": () => this.#do("deleteComment", { comment_id: this.#comment.id }, "didDelete", { user_id: undefined }),
      "person-delete-last": () => this.#do("deleteComments", { count: DELETE_LAST }, "didDeleteLast"),
      "person-name-moderator": () => this.#do("setModerator", { moderator: true }, "didName"),
      "person-dismiss": () => this.#do("setModerator", { moderator: false }, "didDismiss"),
      "person-report-send": () => this.#do("report", { comment_id: this.#comment.id, reason: byId("person-report-reason").value }, "didReport", { user_id: undefined }),
      "person-pin": () => this.#do("pin", { comment_id: this.#comment.id }, "didPin", { user_id: undefined }),
      "person-follow": () => this.#follow(true),
      "person-unfollow": () => this.#follow(false),
    };
    for (const [id, act] of Object.entries(acts)) byId(id).addEventListener("click", act);
  }

  /** Opens the card of `user`; `comment` `{id, content, at}` is the one it was opened from, if any. */
  open(live, { user, comment }) {
    this.#live = live;
    this.#user = user;
    this.#comment = comment?.() ?? null;
    this.#visit++;
    byId("person-avatar").replaceChildren(avatar(user));
    byId("person-name").textContent = user.name;
    byId("person-comment").hidden = !this.#comment;
    byId("person-comment").textContent = this.#comment?.content ?? "";
    byId("person-reason").value = "";
    byId("person-term").replaceChildren(...TERMS.map((seconds) =>
      make("option", { value: seconds, selected: seconds === TERM_DEFAULT }, t(`term_${seconds}`))));
    byId("person-report-reason").replaceChildren(...REPORT_REASONS.map((reason) => make("option", { value: t(`report_${reason}`) }, t(`report_${reason}`))));
    byId("person-holds").replaceChildren();
    this.#fail("");
    this.draw();
    if (!this.#dialog.open) this.#dialog.showModal();
    if (this.#people.isAbove(user.id)) this.#readHolds();
    this.#readFollow();
  }

  close() {
    this.#dialog.close();
  }

  /** Draws what depends on roles. */
  draw() {
    if (!this.#user) return;
    const { id } = this.#user;
    const role = this.#people.roleOf(id);
    const isAbove = this.#people.isAbove(id);
    const { isStreamer } = this.#people;
    byId("person-role").textContent = t(this.#people.isMe(id) ? "you" : role);
    byId("person-sanctions").hidden = !isAbove;
    const isOwn = this.#people.isMe(id) && Date.now() - (this.#comment?.at ?? 0) < OWN_DELETE_MS;
    const shown = {
      "person-shadow": isStreamer, "person-kick": isAbove, "person-delete-last": isAbove,
      // Moderators act instead.
      "person-report": Boolean(this.#comment?.id) && !this.#people.isMe(id) && !isAbove,
      "person-pin": Boolean(this.#comment?.id) && this.#people.isModerator,
      "person-delete": Boolean(this.#comment?.id) && (isAbove || isOwn),
      "person-name-moderator": isAbove && isStreamer && role === "viewer",
      "person-dismiss": isAbove && isStreamer && role === "moderator",
    };
    for (const [button, isShown] of Object.entries(shown)) byId(button).hidden = !isShown;
  }

  #sanction(kind) {
    const seconds = Number(byId("person-term").value);
    const reason = byId("person-reason").value.trim();
    this.#do(kind, {
      seconds, ...(reason && { reason }), ...(kind === "ban" && { purge: byId("person-purge").value }),
    }, `did_${kind}`);
  }

  /** Acts on the person, and says in words what came of it. */
  async #do(event, data, done, without = {}) {
    const visit = this.#visit;
    const { id, name } = this.#user;
    this.#fail("");
    this.#setBusy(true);
    const answer = await this.#act(event, { user_id: id, ...data, ...without });
    this.#setBusy(false);
    if (answer.ok) toast(t(done, { name }), { tone: "good" });
    if (visit !== this.#visit) return answer.ok || toast(refusalText(answer), { tone: "bad" });
    if (!answer.ok) return this.#fail(refusalText(answer));
    if (["deleteComment", "pin", "report"].includes(event)) return this.close();
    this.draw();
    if (this.#people.isAbove(id)) await this.#readHolds();
  }

  #setBusy(isBusy) {
    for (const button of this.#dialog.querySelectorAll(".acts button, .holds button")) button.disabled = isBusy;
  }

  #fail(text) {
    byId("person-error").textContent = text;
  }

  /** Asks for something that the card shows. What fails is left out, with its reason if there is one. */
  async #read(request, draw) {
    const visit = this.#visit;
    try {
      const data = await request;
      if (visit === this.#visit) draw(data);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (visit === this.#visit) this.#fail(refusalText(error));
    }
  }

  #readHolds() {
    return this.#read(api.sanctions(this.#live.id, this.#user.id), ({ sanctions }) => {
      byId("person-holds").replaceChildren(...sanctions.map((sanction) => this.#hold(sanction)));
    });
  }

  #hold({ kind, scope, until_ms, reason }) {
    const words = [t(`holds_${kind}`), scope === "live" && until_ms === null ? t("untilLiveEnds") : untilText(until_ms), reason];
    const lift = make("button", { type: "button", className: "ghost small" }, t(`lift_${kind}`));
    lift.addEventListener("click", () => this.#do(`un${kind}`, {}, `didLift_${kind}`));
    return make("li", { dataset: { kind } }, make("span", {}, words.filter(Boolean).join(" · ")), lift);
  }

  /** Only a streamer is followed here, and nobody follows oneself. */
  #readFollow() {
    for (const button of ["person-follow", "person-unfollow"]) byId(button).hidden = true;
    const { id } = this.#user;
    if (this.#people.roleOf(id) !== "streamer" || this.#people.isMe(id)) return;
    this.#read(api.me(this.#live.id), ({ follows_since_ms }) => this.#drawFollow(Boolean(follows_since_ms)));
  }

  #follow(follow) {
    this.#fail("");
    this.#read(api.follow(this.#user.id, follow), () => {
      this.#drawFollow(follow);
      this.#onFollow();
      byId(follow ? "person-unfollow" : "person-follow").focus();
    });
  }

  #drawFollow(follows) {
    byId("person-follow").hidden = follows;
    byId("person-unfollow").hidden = !follows;
  }
}
