// Lines of the last hour, drawn by uPlot.

import { make } from "./dom.js";
import { clockText } from "./format.js";
import { currentLanguage, formatCount } from "./i18n.js";

const HEIGHT_PX = 132;
const COLOURS = ["#8f6bff", "#3ee6a8", "#ffcf6b", "#ff5c8a"];
const AXIS = { stroke: "#7b80a0", grid: { stroke: "rgba(255,255,255,.06)", width: 1 }, ticks: { show: false }, font: "11px sans-serif" };

/** One chart. `lines` of `{title, words(value)}`; `draw(atMs, columns)` shows one column of numbers for each, null where one is not known. */
export class Chart {
  #plot = null;
  #lines;
  #data = null;
  #box = make("div", { className: "plot" });
  #values;
  #observer = new ResizeObserver(() => this.#fit());
  node;

  constructor(title, lines) {
    this.#lines = lines;
    this.#values = lines.map(({ title: name }, index) => {
      const value = make("b", {}, "–");
      const key = make("i", { attributes: { "aria-hidden": "true" } });
      key.style.background = COLOURS[index];
      return { value, node: make("span", {}, ...(lines.length > 1 ? [key, name, " "] : []), value) };
    });
    const head = make("figcaption", {}, make("span", {}, title), make("span", { className: "keys" }, ...this.#values.map(({ node }) => node)));
    this.node = make("figure", { className: "chart" }, head, this.#box);
    this.#observer.observe(this.#box);
  }

  draw(atMs, columns) {
    this.#data = [atMs.map((at) => at / 1000), ...columns];
    this.#lines.forEach(({ words }, index) => {
      this.#values[index].value.textContent = words(columns[index].at(-1));
    });
    if (this.#plot) this.#plot.setData(this.#data);
    else this.#make();
  }

  /** The value that is shown beside a name follows the pointer, and is the newest otherwise. */
  #point({ cursor: { idx } }) {
    this.#lines.forEach(({ words }, index) => {
      const column = this.#data[index + 1];
      this.#values[index].value.textContent = words(idx === null || idx === undefined ? column.at(-1) : column[idx]);
    });
  }

  #make() {
    const width = this.#box.clientWidth;
    if (width === 0 || !window.uPlot) return;
    const clock = new Intl.DateTimeFormat(currentLanguage(), { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    this.#plot = new window.uPlot({
      width, height: HEIGHT_PX, padding: [8, 18, 0, 0], legend: { show: false },
      cursor: { y: false, points: { size: 6 }, drag: { x: false } },
      scales: { y: { range: (_, least, most) => [Math.min(0, least ?? 0), Math.max(most ?? 0, 1) * 1.08] } },
      axes: [
        { ...AXIS, size: 26, values: (_, ticks) => ticks.map((each) => clock.format(each * 1000)) },
        { ...AXIS, size: 44, values: (_, ticks) => ticks.map((each) => (each % 1 ? String(each) : formatCount(each))) },
      ],
      series: [{ value: (_, at) => clockText(at * 1000) }, ...this.#lines.map((_, index) => ({ stroke: COLOURS[index], width: 1.6, fill: index === 0 ? `${COLOURS[0]}22` : undefined, points: { show: false }, spanGaps: false }))],
      hooks: { setCursor: [(plot) => this.#data && this.#point(plot)] },
    }, this.#data, this.#box);
  }

  #fit() {
    if (!this.#data) return;
    if (this.#plot) this.#plot.setSize({ width: this.#box.clientWidth, height: HEIGHT_PX });
    else this.#make();
  }

  close() {
    this.#observer.disconnect();
    this.#plot?.destroy();
  }
}
