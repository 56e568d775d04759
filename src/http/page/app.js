// The page: a list of rooms and a room, told apart by the address after `#`.

import { Account } from "./account.js";
import { token } from "./api.js";
import { byId } from "./dom.js";
import { onLanguageChange, t, toggleLanguage, translatePage } from "./i18n.js";
import { Lobby } from "./lobby.js";
import { ProfileDialog } from "./profile.js";
import { Room } from "./room.js";

const account = new Account();
new ProfileDialog(account);
const lobby = new Lobby(account);
const room = new Room(account, showConnection);

let connection = { state: "none", retryAt: 0 };
// What is on show: the id of a live, null for the list, undefined before the first look.
let openLive;
let openFor;

function showConnection(state, { retryMs = 0 }) {
  connection = { state, retryAt: performance.now() + retryMs };
  byId("connection").dataset.state = state;
  byId("connection").hidden = state === "none";
  byId("reconnect").hidden = state !== "stopped";
  drawConnection();
}

function drawConnection() {
  const seconds = Math.ceil((connection.retryAt - performance.now()) / 1000);
  const counting = connection.state === "waiting" && seconds > 0;
  byId("connection-text").textContent = counting ? t("waitingFor", { seconds }) : t(connection.state);
  if (counting) setTimeout(drawConnection, 500);
}

/** A room is open for one login: its connection ends with that. */
const login = () => (account.user ? token.get() : null);

/** Shows what the address asks for. A room needs a login: its connection is a user's. */
async function route() {
  const liveId = /^#\/live\/([1-9]\d{0,15})$/.exec(location.hash)?.[1] ?? null;
  if (liveId && !account.user && !(await account.askLogin())) {
    location.hash = "#/";
    return;
  }
  if (liveId === openLive && login() === openFor) return;
  openLive = liveId;
  openFor = login();
  document.body.dataset.view = liveId ? "room" : "lobby";
  byId("lobby").hidden = Boolean(liveId);
  byId("room").hidden = !liveId;
  if (liveId) {
    lobby.hide();
    room.open(Number(liveId));
  } else {
    room.close();
    lobby.show();
    document.title = "liveroom";
  }
}

const TABS = ["chat", "online", "review"];

function chooseTab(name, focus) {
  for (const each of TABS) {
    const chosen = each === name;
    byId(`tab-${each}`).setAttribute("aria-selected", String(chosen));
    byId(`tab-${each}`).tabIndex = chosen ? 0 : -1;
    byId(`panel-${each}`).hidden = !chosen;
  }
  if (focus) byId(`tab-${name}`).focus();
  room.drawPresence();
}

for (const name of TABS) {
  byId(`tab-${name}`).addEventListener("click", () => chooseTab(name, false));
  byId(`tab-${name}`).addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const shown = TABS.filter((each) => !byId(`tab-${each}`).hidden);
    if (step) chooseTab(shown[(shown.indexOf(name) + step + shown.length) % shown.length], true);
  });
}

byId("language").addEventListener("click", toggleLanguage);
byId("reconnect").addEventListener("click", () => room.reconnect());
onLanguageChange(drawConnection);
translatePage();

await account.refresh();
// After the first look: a login or logout while in a room shows the room, or asks, again.
account.onChange(() => {
  if (openLive && login() !== openFor) route();
});
addEventListener("hashchange", route);
route();
