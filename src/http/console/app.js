// The console: who is logged in, the menu, and the page that the address after `#` names.

import "./act.js";
import { ApiError, change, listenTo } from "./admin.js";
import { auditPage } from "./audit.js";
import { booksPage } from "./books.js";
import { byId, icon, make, toast } from "./dom.js";
import { Feed } from "./feed.js";
import { filterPage } from "./filter.js";
import { giftsPage } from "./gifts.js";
import { onLanguageChange, t, toggleLanguage, translatePage } from "./i18n.js";
import { askConfirm, loginPage, setupPage } from "./login.js";
import { managersPage } from "./managers.js";
import { overviewPage } from "./overview.js";
import { ownPage } from "./own.js";
import { reviewPage } from "./review.js";
import { roomPage } from "./room.js";
import * as session from "./session.js";
import { tracePage } from "./trace.js";
import { errorText } from "./ui.js";
import { userPage } from "./user.js";
import { usersPage } from "./users.js";

/** Pages by the first part of the address, with what a role needs for them and, for those in the menu, icon and key. */
const PAGES = {
  "": { show: overviewPage, permission: "look", title: "overview", icon: "overview", key: "o" },
  rooms: { show: roomPage, permission: "look", title: "room" },
  review: { show: reviewPage, permission: "comments", title: "review", icon: "review", key: "r" },
  users: { show: (host, rest, feed) => (rest[0] ? userPage(host, rest, feed) : usersPage(host, rest, feed)), permission: "look", title: "users", icon: "people", key: "u" },
  gifts: { show: giftsPage, permission: "look", title: "gifts", icon: "gift", key: "g" },
  filter: { show: filterPage, permission: "operate", title: "filter", icon: "filter", key: "w" },
  trace: { show: tracePage, permission: "operate", title: "trace", icon: "trace", key: "t" },
  audit: { show: auditPage, permission: "look", title: "audit", icon: "audit", key: "a" },
  books: { show: booksPage, permission: "finance", title: "books", icon: "books", key: "b" },
  managers: { show: managersPage, permission: "administer", title: "managers", icon: "keys", key: "m" },
  own: { show: ownPage, permission: null, title: "own" },
};

const host = byId("main");
const feed = new Feed({ onState: showConnection, onEnded: ended });
let connection = { state: "none", retryAt: 0 };
let leave = () => {};
let shown = "";

function showConnection(state, { retryMs = 0 }) {
  connection = { state, retryAt: performance.now() + retryMs };
  byId("connection").dataset.state = state;
  byId("connection").hidden = state === "none";
  document.body.classList.toggle("stale", state === "waiting");
  drawConnection();
}

function drawConnection() {
  if (connection.state === "none") return;
  const seconds = Math.ceil((connection.retryAt - performance.now()) / 1000);
  const counting = connection.state === "waiting" && seconds > 0;
  byId("connection-text").textContent = counting ? t("waitingFor", { seconds }) : t(`line_${connection.state}`);
  if (counting) setTimeout(drawConnection, 500);
}

/** The address: the parts of its path, and its query. */
function address() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { parts: path.split("/").filter(Boolean), query: new URLSearchParams(query) };
}

/** Shows what the address asks for, if somebody is logged in who may see it. */
function route() {
  const { parts, query } = address();
  leave();
  leave = () => {};
  byId("done").hidden = true;
  closeNav();
  host.replaceChildren();
  // A page may move the focus on, to its search.
  if (shown && shown !== location.hash) host.focus({ preventScroll: true });
  shown = location.hash;
  scrollTo(0, 0);
  if (parts[0] === "setup") return show("login", () => setupPage(host, parts[1] ?? "", begin));
  if (!session.current()) return show("login", () => loginPage(host, begin));
  const me = session.current();
  if (me.totp?.required && !me.totp.enabled && parts[0] !== "own") {
    location.hash = "#/own";
    return;
  }
  const page = PAGES[parts[0] ?? ""];
  show("page", () => {
    drawNav(parts[0] ?? "");
    if (!page || !session.may(page.permission)) {
      host.append(...(page ? [make("h1", {}, t(page.title))] : []), make("p", { className: "empty" }, t(page ? "notYours" : "noPage")));
      return undefined;
    }
    document.title = `${t(page.title)} · liveroom`;
    return page.show(host, parts.slice(1), { feed, query });
  });
}

function show(view, draw) {
  document.body.dataset.view = view;
  leave = draw() ?? (() => {});
}

function drawNav(at) {
  const entries = Object.entries(PAGES).filter(([, page]) => page.icon && session.may(page.permission));
  byId("nav").replaceChildren(...entries.map(([name, page]) => make("a", {
    href: `#/${name}`, title: t("shortcut", { key: `g ${page.key}` }), dataset: { page: name },
    attributes: name === at || (name === "" && at === "rooms") ? { "aria-current": "page" } : {},
  }, icon(page.icon), t(page.title))));
  byId("own-name").textContent = session.current().name;
  byId("own").title = `${t(`role_${session.current().role}`)} · ${t("own")}`;
}

function closeNav() {
  document.body.classList.remove("nav-open");
  byId("open-nav").setAttribute("aria-expanded", "false");
}

function ended() {
  if (!session.current()) return;
  session.forget();
  feed.stop();
  toast(t("sessionEnded"), { tone: "bad" });
  route();
}

/** Begins after a login. */
function begin() {
  if (address().parts[0] === "setup") location.hash = "#/";
  else route();
}

byId("language").addEventListener("click", toggleLanguage);
byId("logout").addEventListener("click", async () => {
  await session.logOut().catch((error) => toast(errorText(error), { tone: "bad" }));
  feed.stop();
  route();
});
byId("open-nav").addEventListener("click", () => {
  const isOpen = document.body.classList.toggle("nav-open");
  byId("open-nav").setAttribute("aria-expanded", String(isOpen));
  if (isOpen) byId("nav").querySelector("a")?.focus();
});
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  host.focus();
});

/** `g` and a letter lead to a page, `/` to its search; not while somebody types. */
let lastKey = "";
addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeNav();
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog[open]")) return;
  if (event.key === "/") {
    const search = host.querySelector("input[type=search]");
    if (search) event.preventDefault();
    search?.focus();
  } else if (lastKey === "g" && session.current()) {
    const found = Object.entries(PAGES).find(([, page]) => page.key === event.key && session.may(page.permission));
    if (found) location.hash = `#/${found[0]}`;
  }
  lastKey = lastKey === "g" ? "" : event.key;
});

listenTo({ ended, renew: session.refresh, confirm: () => askConfirm((proof) => change("POST", "/confirm", proof)) });
translatePage();
addEventListener("hashchange", route);
try {
  await session.restore();
} catch (error) {
  if (!(error instanceof ApiError)) throw error;
  if (error.status === 401) session.forget();
  else toast(errorText(error), { tone: "bad" });
}
route();
onLanguageChange(() => {
  drawConnection();
  route();
});
