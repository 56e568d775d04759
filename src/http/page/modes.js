// The modes of a room: shown to everybody, and changed by its streamer and moderators.

import { byId, make } from "./dom.js";
import { formatCount, onLanguageChange, refusalText, spanText, t } from "./i18n.js";

/** What each mode may be set to here; `off` is what it is when it does not hold. */
const CHOICES = {
  slow_s: { off: 0, values: [3, 5, 10, 30, 60, 120], words: (seconds) => spanText(seconds) },
  followers_min: { off: -1, values: [0, 10, 60, 1_440, 10_080, 43_200], words: (minutes) => (minutes === 0 ? t("anyFollower") : spanText(minutes * 60)) },
  gifters_coins: { off: 0, values: [1, 10, 100, 1_000], words: (coins) => t("coins", { count: formatCount(coins) }) },
  unique_s: { off: 0, values: [30, 60, 300], words: (seconds) => spanText(seconds) },
  mod_delay_s: { off: 0, values: [2, 4, 6], words: (seconds) => spanText(seconds) },
};
const SWITCHES = ["shield", "frozen", "gifts_paused"];
const ALL_OFF = Object.fromEntries([
  ...Object.entries(CHOICES).map(([mode, { off }]) => [mode, off]), ...SWITCHES.map((mode) => [mode, false]),
]);

export class Modes {
  #current = ALL_OFF;
  /** Whether the room has any: a node of an earlier version knows of none. */
  #isKnown = false;
  #onSet;
  #dialog = byId("modes-dialog");

  /** `onSet(change)` asks the server for a change; resolves with its answer. */
  constructor(onSet) {
    this.#onSet = onSet;
    byId("open-modes").addEventListener("click", () => {
      byId("modes-error").textContent = "";
      this.#drawDialog();
      this.#dialog.showModal();
    });
    for (const mode of SWITCHES) {
      byId(`mode-${mode}`).addEventListener("change", ({ target }) => this.#set(mode, target.checked));
    }
    for (const mode of Object.keys(CHOICES)) {
      byId(`mode-${mode}`).addEventListener("change", ({ target }) => this.#set(mode, Number(target.value)));
    }
    onLanguageChange(() => this.draw());
  }

  get current() {
    return this.#current;
  }

  get isKnown() {
    return this.#isKnown;
  }

  /** Takes the modes of a room. */
  show(modes) {
    this.#isKnown = modes !== undefined;
    this.#current = { ...ALL_OFF, ...modes };
    this.draw();
  }

  close() {
    this.#dialog.close();
    this.show(undefined);
  }

  draw() {
    const chips = [...SWITCHES, ...Object.keys(CHOICES)].filter((mode) => this.#holds(mode)).map((mode) => {
      const words = CHOICES[mode]?.words(this.#current[mode]);
      return make("li", { dataset: { mode } }, words ? t(`shown_${mode}`, { words }) : t(`shown_${mode}`));
    });
    byId("modes").replaceChildren(...chips);
    if (this.#dialog.open) this.#drawDialog();
  }

  #holds(mode) {
    return this.#current[mode] !== ALL_OFF[mode];
  }

  #drawDialog() {
    for (const mode of SWITCHES) byId(`mode-${mode}`).checked = this.#current[mode];
    for (const [mode, { off, values, words }] of Object.entries(CHOICES)) {
      const current = this.#current[mode];
      // Another client may have set what this page does not offer.
      const offered = new Set([off, ...values, current]);
      byId(`mode-${mode}`).replaceChildren(...[...offered].sort((a, b) => a - b).map((value) =>
        make("option", { value, selected: value === current }, value === off ? t("off") : words(value))));
    }
  }

  /** The event that follows shows the change; a refusal, that there is none. */
  async #set(mode, value) {
    byId("modes-error").textContent = "";
    const answer = await this.#onSet({ [mode]: value });
    if (answer.ok) return;
    byId("modes-error").textContent = refusalText(answer);
    this.#drawDialog();
  }
}
