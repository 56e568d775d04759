// Traces: what a user or a room does, line by line, for some minutes and over all nodes.

import { act } from "./act.js";
import { change, read } from "./admin.js";
import { make, toast } from "./dom.js";
import { clockText, lengthText } from "./format.js";
import { t } from "./i18n.js";
import { Trouble, button, card, choice, errorText, every, field, mark, roomLink, userLink } from "./ui.js";

const MINUTES = [1, 5, 10, 15];
const LINES_MAX = 1_000;
const LIST_MS = 5_000;
const LINES_MS = 1_000;

export function tracePage(host, [shownId], { query }) {
  const trouble = new Trouble();
  const list = make("ul", { className: "lines", dataset: { list: "traces" } });
  const empty = make("p", { className: "empty", hidden: true }, t("noTraces"));
  const stops = [every(LIST_MS, refresh)];
  host.append(make("h1", {}, t("trace")), beginCard(query), trouble.node, card(t("tracesRunning"), { name: "traces" }, list, empty));
  if (shownId) {
    const lines = linesCard(shownId);
    host.append(lines.node);
    stops.push(lines.stop);
  }
  return () => stops.forEach((stop) => stop());

  async function refresh() {
    try {
      const { traces } = await read("/trace", {}, { isPoll: true });
      trouble.clear();
      list.replaceChildren(...traces.map(traceLine));
      empty.hidden = traces.length > 0;
    } catch (error) {
      trouble.show(error, refresh);
    }
  }

  function traceLine({ id, user_id: user, live_id: live, by, ends_at_ms: ends }) {
    return make("li", { dataset: { trace: id } }, make("div", { className: "line-head" }, user ? userLink(user, t("userNumber", { id: user })) : roomLink(live, t("roomNumber", { id: live })),
      make("small", {}, t("traceBy", { name: by?.name ?? by ?? "", time: lengthText(ends - Date.now()) })),
      make("a", { className: "ghost small", href: `#/trace/${id}` }, t("showLines")),
      button(t("stop"), async () => {
        await change("DELETE", `/trace/${id}`).catch((error) => toast(errorText(error), { tone: "bad" }));
        refresh();
      }, { name: "stop" })));
  }
}

function beginCard(query) {
  const kind = choice([["user_id", t("user")], ["live_id", t("room")]], query.get("live") ? "live_id" : "user_id");
  const id = make("input", { inputMode: "numeric", name: "id", value: query.get("user") ?? query.get("live") ?? "", required: true });
  const minutes = choice(MINUTES.map((each) => [each, lengthText(each * 60_000)]), 5);
  const form = make("form", { className: "fields" }, field(t("what"), kind), field(t("id"), id), field(t("term"), minutes), make("button", { className: "primary small", type: "submit" }, t("beginTrace")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await act({
      title: t("beginTrace"), effect: t("effectTrace", { time: lengthText(minutes.value * 60_000) }), verb: t("beginTrace"), hasReason: false, done: () => t("didTrace"),
      run: () => change("POST", "/trace", { [kind.value]: Number(id.value), seconds: minutes.value * 60 }),
    });
    if (answer) location.hash = `#/trace/${answer.id}`;
  });
  return card(t("beginTrace"), { name: "begin-trace" }, form);
}

function linesCard(id) {
  const list = make("ol", { className: "feed trace-lines", tabIndex: 0, attributes: { "aria-label": t("traceLines") } });
  const note = make("p", { className: "fine note", role: "status" }, t("traceWaiting"));
  const trouble = new Trouble();
  let cursor = "";
  let dropped = 0;
  let isOver = false;
  const stop = every(LINES_MS, async () => {
    if (isOver) return;
    try {
      const page = await read(`/trace/${id}/lines`, { cursor }, { isPoll: true });
      trouble.clear();
      cursor = page.next ?? cursor;
      dropped += page.dropped ?? 0;
      isOver = Boolean(page.ended) && page.lines.length === 0;
      for (const line of page.lines) list.prepend(lineOf(line));
      while (list.children.length > LINES_MAX) list.lastElementChild.remove();
      note.textContent = [isOver ? t("traceEnded") : t("traceRunning"), dropped ? t("skipped", { count: dropped }) : "", page.silent?.length ? t("silentNodes", { nodes: page.silent.join(", ") }) : ""].filter(Boolean).join(" · ");
    } catch (error) {
      isOver = error.status === 404;
      trouble.show(error);
    }
  });
  return { stop, node: card(t("traceLines"), { name: "trace-lines" }, trouble.node, note, list) };
}

function lineOf({ at_ms: at, node, what, user_id: user, live_id: live, fields = {} }) {
  const words = Object.entries(fields).map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`).join(" ");
  return make("li", {}, make("time", {}, clockText(at)), make("span", { className: "what" }, mark(what), user ? userLink(user) : "", live ? roomLink(live, t("roomNumber", { id: live })) : "", make("span", { className: "said code" }, words)), make("small", { className: "cost" }, node));
}
