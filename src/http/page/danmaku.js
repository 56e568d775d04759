// Flying comments: lanes in which nothing overlaps and nothing overtakes, a bounded number of
// nodes, and no layout reads: widths are measured on a canvas, motion is a compositor animation.

import { make, reducedMotion } from "./dom.js";

const LANE_PX = 40;
const GAP_PX = 36;
const FLIGHT_MS = 9_000;
const FLYING_MAX = 60;
const WAITING_MAX = 30;
/** A viewer's comment that waited this long for a lane is old news: the chat has it. */
const WAITING_MS_MAX = 2_500;
const CHARS_MAX = 60;
const PADDING_PX = 26;

export class Danmaku {
  #layer;
  #lanes = [];
  #waiting = [];
  #flying = 0;
  #width = 0;
  #frame = 0;
  #measure = document.createElement("canvas").getContext("2d");
  #observer;
  enabled = true;

  constructor(layer) {
    this.#layer = layer;
    this.#observer = new ResizeObserver(([entry]) => this.#resize(entry.contentRect));
    this.#observer.observe(layer);
  }

  /** `tone` is a class name or ""; an `own` comment is never dropped for others. */
  push(text, { tone = "", own = false } = {}) {
    if (!this.enabled || document.hidden || reducedMotion.matches) return;
    const chars = [...text.replace(/\s+/g, " ")];
    const shown = chars.length > CHARS_MAX ? `${chars.slice(0, CHARS_MAX).join("")}…` : chars.join("");
    const item = { shown, tone, own, since: performance.now(), width: this.#measure.measureText(shown).width + PADDING_PX };
    if (own) this.#waiting.unshift(item);
    else this.#waiting.push(item);
    if (this.#waiting.length > WAITING_MAX) this.#waiting.splice(this.#waiting.findIndex((other) => !other.own), 1);
    this.#schedule();
  }

  clear() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#waiting = [];
    this.#lanes.fill(null);
    this.#flying = 0;
    this.#layer.replaceChildren();
  }

  #resize({ width, height }) {
    this.#width = width;
    this.#lanes.length = Math.max(1, Math.floor(height / LANE_PX));
    const { fontFamily } = getComputedStyle(this.#layer);
    const sample = this.#layer.appendChild(make("span", { className: "bullet" }));
    const { fontSize, fontWeight } = getComputedStyle(sample);
    sample.remove();
    this.#measure.font = `${fontWeight} ${fontSize} ${fontFamily}`;
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame((now) => {
      this.#frame = 0;
      this.#launch(now);
      if (this.#waiting.length > 0) this.#schedule();
    });
  }

  #launch(now) {
    this.#waiting = this.#waiting.filter((item) => item.own || now - item.since < WAITING_MS_MAX);
    while (this.#waiting.length > 0 && this.#flying < FLYING_MAX) {
      const item = this.#waiting[0];
      const lane = this.#freeLane(item, now);
      if (lane < 0) return;
      this.#waiting.shift();
      this.#fly(item, lane, now);
    }
  }

  /** The topmost lane whose last item has entered fully and cannot be caught before it is gone. */
  #freeLane({ width }, now) {
    const speed = (this.#width + width) / FLIGHT_MS;
    for (let lane = 0; lane < this.#lanes.length; lane++) {
      const last = this.#lanes[lane];
      if (!last) return lane;
      const entered = last.speed * (now - last.since) >= last.width + GAP_PX;
      const uncaught = now + (this.#width - GAP_PX) / speed >= last.since + FLIGHT_MS;
      if (entered && uncaught) return lane;
    }
    return -1;
  }

  #fly({ shown, tone, own, width }, lane, now) {
    const node = make("div", { className: `bullet ${tone} ${own ? "own" : ""}` }, shown);
    const y = lane * LANE_PX + 3;
    this.#lanes[lane] = { since: now, width, speed: (this.#width + width) / FLIGHT_MS };
    this.#flying++;
    this.#layer.append(node);
    const flight = node.animate(
      [{ transform: `translate3d(${this.#width}px, ${y}px, 0)` }, { transform: `translate3d(${-width}px, ${y}px, 0)` }],
      { duration: FLIGHT_MS, fill: "both" },
    );
    flight.addEventListener("finish", () => {
      if (!node.isConnected) return;
      node.remove();
      this.#flying--;
    });
  }
}
