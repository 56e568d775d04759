// The words over the stage: why there is nothing to see or to do, and a way back where there is one.

import { byId } from "./dom.js";
import { durationText, t } from "./i18n.js";

/** The server keeps out for 10 s; the clock of the reader may say anything. */
const KICK_MS_MAX = 15_000;

export class StageNotice {
  #timer = 0;

  /** `onReturn()` runs when the reader comes back after it was removed. */
  constructor(onReturn) {
    byId("stage-notice-back").addEventListener("click", onReturn);
  }

  /** `title` is null for nothing. */
  show(title, text = "") {
    clearTimeout(this.#timer);
    byId("stage-notice").hidden = title === null;
    byId("stage-notice-back").hidden = true;
    byId("stage-notice-title").textContent = title ?? "";
    byId("stage-notice-text").textContent = text;
  }

  /** Counts down until the reader may come back, and then offers it. */
  kicked(waitMs) {
    const endsAt = performance.now() + Math.min(KICK_MS_MAX, Math.max(0, waitMs));
    const tick = () => {
      const left = endsAt - performance.now();
      this.show(t("kicked"), left > 0 ? t("kickedText", { time: durationText(left) }) : t("kickedOver"));
      byId("stage-notice-back").hidden = left > 0;
      if (left > 0) this.#timer = setTimeout(tick, Math.min(250, left));
    };
    tick();
  }
}
