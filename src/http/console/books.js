// The books: a proof that every coin is accounted for.

import { read } from "./admin.js";
import { make } from "./dom.js";
import { countText, timeText } from "./format.js";
import { t } from "./i18n.js";
import { Table } from "./table.js";
import { Trouble, button, card, facts, mark } from "./ui.js";

const TOTALS = ["transfers", "entries", "gifts", "users_coin", "lives_coin", "granted_coin"];

export function booksPage(host) {
  const trouble = new Trouble();
  const verdict = make("div", { role: "status" });
  const faults = new Table({ caption: t("faults"), name: "faults", keyOf: (row) => `${row.rule} ${row.row}`, empty: t("noFaults"), columns: [
    { title: t("rule"), text: (row) => row.rule }, { title: t("row"), wide: true, text: (row) => row.row },
    { title: t("expected"), numeric: true, text: (row) => countText(row.expected) }, { title: t("found"), numeric: true, text: (row) => countText(row.found) },
  ] });
  const prove = button(t("prove"), refresh, { name: "prove", className: "primary small" });
  faults.node.hidden = true;
  host.append(make("h1", {}, t("books")), card(t("proof"), { tools: [prove], name: "proof" }, make("p", { className: "fine" }, t("proofHelp")), trouble.node, verdict, faults.node));
  refresh();

  async function refresh() {
    prove.disabled = true;
    try {
      const proof = await read("/ledger/proof");
      trouble.clear();
      verdict.replaceChildren(make("p", { className: "verdict", dataset: { balanced: proof.balanced } }, mark(t(proof.balanced ? "balanced" : "unbalanced"), proof.balanced ? "good" : "bad"), make("small", {}, timeText(Date.now()))),
        facts(TOTALS.map((name) => [t(`proof_${name}`), countText(proof[name])])));
      faults.node.hidden = false;
      faults.draw(proof.faults);
    } catch (error) {
      trouble.show(error, refresh);
    } finally {
      prove.disabled = false;
    }
  }
}
