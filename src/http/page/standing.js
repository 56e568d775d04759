// What keeps the reader from speaking here, in words above the composer: until when, and why.

import { api } from "./api.js";
import { durationText, onLanguageChange, t } from "./i18n.js";

/** Later is not timed: a timer of more than 2^31 ms would run at once. */
const TIMED_MS_MAX = 86_400_000 * 20;
/** What a user meets first stands first, in the order of the server's checks; and what one cannot do then. */
const CAUSES = { muted: "writing", frozen: "writing", followers_only: "nothing", gifters_only: "nothing", slow_mode: "sending" };

export class Standing {
  #composer;
  /** By cause: `{endsAt, reason}`; `endsAt` on the clock of `performance.now`, null if it does not end by itself. */
  #causes = new Map();
  #timer = 0;
  #liveId = null;

  constructor(composer) {
    this.#composer = composer;
    onLanguageChange(() => this.#draw());
  }

  /** Begins with nothing known about a live; null for none. */
  open(liveId) {
    this.#liveId = liveId;
    this.#causes.clear();
    this.#draw();
  }

  /** Asks the server what holds. It says how long by its own clock, which the reader's may not agree with. */
  async read() {
    const liveId = this.#liveId;
    const me = await api.me(liveId).catch(() => null);
    if (!me || liveId !== this.#liveId) return;
    const failed = me.checks.filter(({ passed, code }) => !passed && code in CAUSES);
    this.#causes.clear();
    for (const check of failed) this.#set(check.code, check);
    this.#draw();
  }

  /** Takes a `muted` event. */
  muted({ until_ms, reason }) {
    this.#set("muted", { until_ms, reason, retry_after_ms: until_ms === null ? undefined : until_ms - Date.now() });
    this.#draw();
    this.read();
  }

  /** That a cause is over. */
  over(cause) {
    if (this.#causes.delete(cause)) this.#draw();
  }

  /** Takes the modes of the room, which ask nothing of its moderators. */
  modesChanged({ frozen, slow_s, followers_min, gifters_coins }, isModerator) {
    if (frozen && !isModerator) this.#set("frozen", {});
    else this.#causes.delete("frozen");
    if (slow_s === 0 || isModerator) this.#causes.delete("slow_mode");
    if (followers_min < 0 || isModerator) this.#causes.delete("followers_only");
    if (gifters_coins === 0 || isModerator) this.#causes.delete("gifters_only");
    this.#draw();
  }

  /** The reader has commented. */
  spoke({ slow_s }, isModerator) {
    for (const cause of ["followers_only", "gifters_only"]) this.#causes.delete(cause);
    if (slow_s > 0 && !isModerator) this.#set("slow_mode", { retry_after_ms: slow_s * 1000 });
    this.#draw();
  }

  /** Takes an answer that refuses a comment. Returns whether the composer says why. */
  refused(answer) {
    if (!(answer.code in CAUSES)) return false;
    const reason = this.#causes.get(answer.code)?.reason;
    this.#set(answer.code, { reason, ...answer });
    this.#draw();
    return true;
  }

  #set(cause, { retry_after_ms: afterMs, reason = null }) {
    const endsAt = Number.isFinite(afterMs) && afterMs < TIMED_MS_MAX ? performance.now() + Math.max(0, afterMs) : null;
    this.#causes.set(cause, { endsAt, reason });
  }

  #draw() {
    clearTimeout(this.#timer);
    const now = performance.now();
    for (const [cause, { endsAt }] of this.#causes) if (endsAt !== null && endsAt <= now) this.#causes.delete(cause);
    const cause = Object.keys(CAUSES).find((each) => this.#causes.has(each));
    if (!cause) return this.#composer.explain(null);
    const { endsAt, reason } = this.#causes.get(cause);
    const isTimed = endsAt !== null;
    const words = t(isTimed ? `${cause}For` : cause, { time: isTimed ? durationText(endsAt - now) : "" });
    this.#composer.explain(reason ? `${words} · ${reason}` : words, CAUSES[cause]);
    if (isTimed) this.#timer = setTimeout(() => this.#draw(), Math.min(250, endsAt - now + 1));
  }
}
