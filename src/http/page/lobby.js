// The list of rooms, and the dialog that makes one.

import { api, ApiError } from "./api.js";
import { byId, hueOf, icon, localPicture, make, toast } from "./dom.js";
import { formatCount, onLanguageChange, refusalText, t } from "./i18n.js";

const REFRESH_MS = 6_000;
/** The API's page size: a full page may have a next one. */
const PAGE_LIVES = 10;
const COVERS = ["aurora", "sunset", "neon", "ocean"];

export class Lobby {
  #account;
  #page = 1;
  #lives = [];
  #shown = "";
  #timer = 0;
  #visible = false;

  constructor(account) {
    this.#account = account;
    byId("page-previous").addEventListener("click", () => this.#turn(-1));
    byId("page-next").addEventListener("click", () => this.#turn(1));
    byId("open-create").addEventListener("click", () => this.#askCreate());
    byId("create-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#create();
    });
    byId("covers").replaceChildren(...COVERS.map((name, index) => make("label", {},
      make("input", { type: "radio", name: "cover", value: `/assets/covers/${name}.svg`, checked: index === 0, attributes: { "aria-label": name } }),
      make("img", { src: `/assets/covers/${name}.svg`, alt: "" }))));
    onLanguageChange(() => this.#draw());
    document.addEventListener("visibilitychange", () => this.#visible && !document.hidden && this.#refresh());
  }

  show() {
    this.#visible = true;
    this.#refresh();
  }

  hide() {
    this.#visible = false;
    clearTimeout(this.#timer);
  }

  #turn(by) {
    this.#page = Math.max(1, this.#page + by);
    this.#refresh();
  }

  async #refresh() {
    clearTimeout(this.#timer);
    try {
      this.#lives = await api.lives(this.#page);
      // Drawn again only if something changed, so that focus and hover survive.
      const state = JSON.stringify([this.#page, this.#lives]);
      if (state !== this.#shown) this.#draw();
      this.#shown = state;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      toast(refusalText(error), { tone: "bad", key: "lobby" });
    }
    if (this.#visible && !document.hidden) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#refresh(), REFRESH_MS);
    }
  }

  #draw() {
    byId("lives").replaceChildren(...this.#lives.map(card));
    byId("lives-empty").hidden = this.#lives.length > 0;
    byId("pager").hidden = this.#page === 1 && this.#lives.length < PAGE_LIVES;
    byId("page-previous").disabled = this.#page === 1;
    byId("page-next").disabled = this.#lives.length < PAGE_LIVES;
    byId("page-number").textContent = t("page", { page: this.#page });
  }

  async #askCreate() {
    if (!this.#account.user && !(await this.#account.askLogin())) return;
    byId("create-error").textContent = "";
    byId("create-dialog").showModal();
  }

  async #create() {
    const title = byId("create-name").value.trim();
    const cover = new FormData(byId("create-form")).get("cover");
    try {
      const { data } = await api.createLive(title, cover);
      byId("create-dialog").close();
      byId("create-form").reset();
      location.hash = `#/live/${data.id}`;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      byId("create-error").textContent = refusalText(error);
    }
  }
}

function card(live) {
  const cover = make("div", { className: "live-cover" });
  cover.style.setProperty("--hue", hueOf(`${live.id}-${live.title}`));
  const picture = localPicture(live.cover);
  if (picture) {
    const image = make("img", { src: picture, alt: "", loading: "lazy" });
    image.addEventListener("error", () => image.remove());
    cover.append(image);
  }
  cover.append(make("span", { className: "badge", dataset: { status: live.status } }, t(`status${live.status}`)));
  return make("a", { className: "live-card", href: `#/live/${live.id}`, dataset: { status: live.status, liveId: live.id } }, cover,
    make("div", { className: "live-body" }, make("strong", {}, live.title),
      make("div", { className: "live-facts" },
        make("span", { title: t("views") }, icon("eye"), formatCount(live.look_count)),
        make("span", { title: t("liveCoins"), className: "gold" }, icon("coin"), formatCount(live.coin)))));
}
