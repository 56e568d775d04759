// Word lists: what they say about a text, the list itself, and how often each term was found.

import { act } from "./act.js";
import { addressOf, change, read } from "./admin.js";
import { make } from "./dom.js";
import { countText } from "./format.js";
import { t } from "./i18n.js";
import { Table } from "./table.js";
import { Trouble, button, card, field, mark, settled } from "./ui.js";

const TEXT_CHARS_MAX = 1_000;

export function filterPage(host) {
  const lists = listCard();
  host.append(make("h1", {}, t("filter")), make("div", { className: "two" }, testCard(), hitsCard(lists.owner)), lists.node);
}

/** Says while somebody types what would happen to the text. It counts nothing. */
function testCard() {
  const text = make("textarea", { rows: 3, maxLength: TEXT_CHARS_MAX, name: "text" });
  const live = make("input", { inputMode: "numeric", name: "live" });
  const trouble = new Trouble();
  const result = make("div", { className: "test-result", role: "status" });
  let turn = 0;
  const test = settled(async () => {
    const mine = ++turn;
    if (!text.value.trim()) return result.replaceChildren();
    try {
      const verdict = await change("POST", "/filter/test", { text: text.value, ...(live.value.trim() && { live_id: Number(live.value) }) });
      if (mine !== turn) return;
      trouble.clear();
      result.replaceChildren(...verdictParts(verdict));
    } catch (error) {
      if (mine === turn) trouble.show(error);
    }
  });
  for (const input of [text, live]) input.addEventListener("input", test);
  return card(t("testTitle"), { name: "test" }, field(t("text"), text), field(t("liveIdOptional"), live, { hint: t("liveIdHint") }), trouble.node, result);
}

function verdictParts({ action, shown, normalised, hits }) {
  return [
    make("p", {}, mark(t(action ? `term_${action}` : "term_none"), action ? "warn" : "good")),
    make("dl", { className: "facts" }, make("div", {}, make("dt", {}, t("shownAs")), make("dd", { className: "said" }, shown)), make("div", {}, make("dt", {}, t("normalised")), make("dd", { className: "said" }, normalised))),
    make("ul", { className: "checks" }, ...hits.map((hit) => make("li", {}, mark(t(`term_${hit.action}`), hit.allowed ? "" : "warn"), make("b", {}, hit.found), make("small", {},
      [t("byTerm", { term: hit.term }), t(`list_${hit.list}`), ...hit.tags, hit.allowed ? t("allowedHere") : ""].filter(Boolean).join(" · "))))),
  ];
}

function listCard() {
  const owner = make("input", { inputMode: "numeric", name: "streamer" });
  const lines = make("textarea", { rows: 14, spellcheck: false, className: "code", name: "lines", attributes: { "aria-label": t("listLines") } });
  const file = make("input", { type: "file", accept: ".txt,.tsv,text/plain", attributes: { "aria-label": t("openFile") } });
  const trouble = new Trouble();
  const note = make("p", { className: "fine note", role: "status" });
  const save = make("a", { className: "ghost small", download: "" }, t("saveList"));
  const streamer = () => owner.value.trim();

  async function load() {
    try {
      lines.value = await read("/filter/export", { streamer: streamer() });
      trouble.clear();
      note.textContent = t("listLoaded", { count: countText(termsOf(lines.value)) });
      save.href = addressOf("/filter/export", { streamer: streamer() });
    } catch (error) {
      trouble.show(error, load);
    }
  }

  const replace = () => act({
    title: t("actImport"), verb: t("replaceList"), isDanger: true,
    effect: t("effectImport", { count: countText(termsOf(lines.value)), whose: streamer() ? t("streamerOf", { id: streamer() }) : t("wholeSite") }),
    run: ({ reason }, id) => change("POST", "/filter/import", lines.value, { streamer: streamer(), reason, request_id: id }),
    done: ({ terms }) => t("didImport", { count: countText(terms) }),
  });

  file.addEventListener("change", async () => {
    if (file.files[0]) lines.value = await file.files[0].text();
    note.textContent = t("listRead", { count: countText(termsOf(lines.value)) });
    file.value = "";
  });
  owner.addEventListener("change", load);
  load();
  const tools = [button(t("refresh"), load), save, button(t("replaceList"), replace, { name: "import", className: "primary small" })];
  return { owner, node: card(t("listTitle"), { tools, name: "list" }, make("div", { className: "fields" }, field(t("streamerOptional"), owner, { hint: t("streamerHint") }), field(t("openFile"), file)), make("p", { className: "fine" }, t("listHelp")), trouble.node, note, lines) };
}

const termsOf = (lines) => lines.split("\n").filter((line) => line.trim() && !line.startsWith("#")).length;

function hitsCard(owner) {
  const table = new Table({ caption: t("hits"), name: "hits", empty: t("noHits"), keyOf: (row) => `${row.term} ${row.action}`, columns: [
    { title: t("termWord"), wide: true, text: (row) => row.term },
    { title: t("what"), text: (row) => t(`term_${row.action}`) },
    { title: t("hits"), numeric: true, text: (row) => countText(row.hits) },
  ] });
  const trouble = new Trouble();
  const refresh = () => read("/filter/hits", { streamer: owner.value.trim() }).then((rows) => {
    trouble.clear();
    table.draw(rows);
  }, (error) => trouble.show(error, refresh));
  owner.addEventListener("change", refresh);
  refresh();
  return card(t("hits"), { name: "hits", tools: [button(t("refresh"), refresh)] }, make("p", { className: "fine" }, t("hitsHelp")), trouble.node, table.node);
}
