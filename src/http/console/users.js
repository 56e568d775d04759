// Users by the beginning of their name, or by their id.

import { read } from "./admin.js";
import { avatar, make } from "./dom.js";
import { t } from "./i18n.js";
import { PagedTable } from "./table.js";
import { card, mark, searchField, time, userLink } from "./ui.js";

export function usersPage(host, _, { query }) {
  let search = query.get("search") ?? "";
  const input = searchField(t("searchUsers"), search, (text) => {
    search = text;
    window.history.replaceState(null, "", text ? `#/users?search=${encodeURIComponent(text)}` : "#/users");
    table.refresh();
  });
  const table = new PagedTable({
    caption: t("users"), name: "users", keyOf: (row) => row.id, empty: t("noUsers"), columns: [
      { title: t("name"), wide: true, text: (row) => `${row.id} ${row.username} ${row.nickname}`, node: (row) => make("span", { className: "room-cell" }, avatar({ id: row.id, name: row.username, avatar: row.avatar }, "mini"), userLink(row.id, row.username), row.nickname ? make("small", {}, row.nickname) : "") },
      { title: t("id"), numeric: true, text: (row) => row.id },
      { title: t("state"), text: (row) => row.status, node: (row) => mark(t(row.status ? "enabled" : "disabled"), row.status ? "good" : "bad") },
      { title: t("created"), text: (row) => row.created_at_ms, node: (row) => time(row.created_at_ms) },
    ],
    load: async (cursor) => {
      const page = await read("/users", { search, cursor });
      return { rows: page.users, next: page.next };
    },
  });
  host.append(make("h1", {}, t("users")), card(t("users"), { tools: [input], name: "users" }, table.node));
  table.refresh();
  input.focus();
}
