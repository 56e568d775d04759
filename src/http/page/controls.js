// What only those who run a room see: the streamer starts, pauses and ends it, and has the address to stream to;
// moderators have its modes as well.

import { api, ApiError } from "./api.js";
import { byId, toast } from "./dom.js";
import { onLanguageChange, refusalText, t } from "./i18n.js";

const STATUS_AFTER = { play: 1, pause: 2, stop: 3 };

export class Controls {
  #live = null;
  #sign = null;
  #mayModerate = false;
  #onStatus;

  /** `onStatus(status)` runs when a change was accepted. */
  constructor(onStatus) {
    this.#onStatus = onStatus;
    byId("live-play").addEventListener("click", () => this.#change("play"));
    byId("live-pause").addEventListener("click", () => this.#change("pause"));
    byId("live-stop").addEventListener("click", () => byId("confirm-dialog").showModal());
    byId("confirm-dialog").addEventListener("close", (event) => {
      if (event.target.returnValue === "yes") this.#change("stop");
      event.target.returnValue = "";
    });
    byId("open-address").addEventListener("click", () => this.#showAddress());
    byId("copy-address").addEventListener("click", () => this.#copyAddress());
    onLanguageChange(() => this.draw());
  }

  /** `live` is the room's, or null for a reader who is not its streamer. */
  open(live, sign) {
    this.#live = live;
    this.#sign = sign;
    this.draw();
  }

  /** Whether the reader may set modes. */
  setModerator(mayModerate) {
    this.#mayModerate = mayModerate;
    this.draw();
  }

  draw() {
    byId("controls").hidden = !(this.#live || this.#mayModerate) || this.#live?.status === 3;
    byId("open-modes").hidden = !this.#mayModerate;
    for (const button of ["live-play", "live-pause", "live-stop", "open-address"]) byId(button).hidden = !this.#live;
    if (!this.#live) return;
    const { status } = this.#live;
    byId("live-play-text").textContent = t(status === 2 ? "resume" : "start");
    byId("live-play").disabled = status === 1;
    byId("live-pause").disabled = status !== 1;
    byId("live-stop").disabled = status === 0;
    byId("open-address").hidden = !this.#sign;
  }

  async #change(type) {
    try {
      await api.changeStatus(this.#live.id, type);
      this.#onStatus(STATUS_AFTER[type]);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      toast(refusalText(error), { tone: "bad", retryAfterMs: error.retryAfterMs });
    }
  }

  #showAddress() {
    byId("push-address").textContent = `/live/${this.#live.key}?sign=${this.#sign}`;
    byId("address-dialog").showModal();
  }

  #copyAddress() {
    // Outside https and localhost there is no clipboard: then the text is selected for the reader.
    if (navigator.clipboard) {
      navigator.clipboard.writeText(byId("push-address").textContent).then(() => toast(t("copied"), { tone: "good" }));
    } else {
      getSelection().selectAllChildren(byId("push-address"));
    }
  }
}
