// Tables: rows that keep their elements while numbers change, so that focus and hover stay; on a phone each row is a card.

import { make } from "./dom.js";
import { t } from "./i18n.js";
import { Trouble, button } from "./ui.js";

/**
 * `columns`: `{title, text(row), node?(row), sort?, numeric?, wide?}`. `text` is what is shown and says whether a cell has
 * changed; `node` makes an element of it where text is not enough. `sort` is the server's name for the order.
 */
export class Table {
  #columns;
  #keyOf;
  #onSort;
  #body = make("tbody");
  #heads = [];
  #rows = new Map();
  #empty;
  node;

  constructor({ caption, columns, keyOf, onSort = null, empty = t("nothing"), name = "" }) {
    this.#columns = columns.filter(Boolean);
    this.#keyOf = keyOf;
    this.#onSort = onSort;
    this.#heads = this.#columns.map((column) => this.#head(column));
    this.#empty = make("p", { className: "empty", hidden: true }, empty);
    const table = make("table", { dataset: { name } }, make("caption", { className: "visually-hidden" }, caption), make("thead", {}, make("tr", {}, ...this.#heads)), this.#body);
    this.node = make("div", { className: "table" }, make("div", { className: "scroll" }, table), this.#empty);
  }

  #head({ title, sort, numeric }) {
    const head = make("th", { scope: "col", className: numeric ? "number" : "" });
    if (sort && this.#onSort) head.append(button(title, () => this.#onSort(sort), { className: "sort", name: `sort-${sort}` }));
    else head.append(title);
    return head;
  }

  /** Marks the column that the rows are ordered by. */
  showOrder(sort, order) {
    this.#columns.forEach((column, index) => {
      if (column.sort === sort) this.#heads[index].setAttribute("aria-sort", order === "asc" ? "ascending" : "descending");
      else this.#heads[index].removeAttribute("aria-sort");
    });
  }

  get size() {
    return this.#rows.size;
  }

  /** Shows `rows` and no others, in their order. */
  draw(rows) {
    const before = this.#rows;
    this.#rows = new Map();
    for (const row of rows) {
      const key = String(this.#keyOf(row));
      const kept = before.get(key) ?? this.#make(key);
      this.#fill(kept, row);
      this.#rows.set(key, kept);
    }
    const wanted = [...this.#rows.values()].map(({ node }) => node);
    for (const [key, { node }] of before) if (!this.#rows.has(key)) node.remove();
    // Only rows out of their place are moved: a moved element loses the focus.
    wanted.forEach((node, index) => {
      if (this.#body.children[index] !== node) this.#body.insertBefore(node, this.#body.children[index] ?? null);
    });
    this.#empty.hidden = wanted.length > 0;
  }

  #make(key) {
    const cells = this.#columns.map(({ title, numeric, wide }) =>
      make("td", { className: `${numeric ? "number" : ""} ${wide ? "wide" : ""}`.trim(), dataset: { title } }));
    return { node: make("tr", { dataset: { key } }, ...cells), cells, texts: [] };
  }

  #fill(kept, row) {
    this.#columns.forEach(({ text, node }, index) => {
      const words = String(text(row));
      if (kept.texts[index] === words) return;
      kept.texts[index] = words;
      kept.cells[index].replaceChildren(node ? node(row) : words);
      kept.cells[index].classList.toggle("blank", words === "");
    });
  }
}

/** A table of pages behind each other: `load(cursor)` resolves with `{rows, next}`. */
export class PagedTable {
  #table;
  #load;
  #rows = [];
  #next = null;
  #turn = 0;
  #trouble = new Trouble();
  #more;
  #note = make("p", { className: "fine note" });
  node;

  constructor({ load, ...options }) {
    this.#table = new Table(options);
    this.#load = load;
    this.#more = button(t("more"), () => this.#read(this.#next), { name: "more", hidden: true });
    this.node = make("div", {}, this.#trouble.node, this.#table.node, this.#note, make("div", { className: "more" }, this.#more));
  }

  /** Words under the table, about what was read so far. */
  note(words) {
    this.#note.textContent = words;
  }

  /** Reads from the beginning. */
  refresh() {
    return this.#read(null);
  }

  async #read(cursor) {
    const turn = ++this.#turn;
    this.#more.disabled = true;
    this.node.classList.toggle("loading", true);
    try {
      const { rows, next } = await this.#load(cursor);
      if (turn !== this.#turn) return;
      this.#rows = cursor === null ? rows : [...this.#rows, ...rows];
      this.#next = next ?? null;
      this.#trouble.clear();
      this.#table.draw(this.#rows);
      this.#more.hidden = this.#next === null;
    } catch (error) {
      if (turn === this.#turn) this.#trouble.show(error, () => this.#read(cursor));
    } finally {
      if (turn === this.#turn) {
        this.#more.disabled = false;
        this.node.classList.toggle("loading", false);
      }
    }
  }
}
