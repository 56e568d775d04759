// Gifts: the dock to give them, the banners that count a combo, and what flies over the stage.

import { avatar, byId, hueOf, icon, localPicture, make, reducedMotion } from "./dom.js";
import { giftName, t } from "./i18n.js";

const COUNTS = [1, 10, 66, 99];
const COMBO_MS = 4_000;
const BANNERS_MAX = 3;
const WAITING_MAX = 20;
const FLIGHTS_MAX = 6;
/** From this many coins in one gift on, it takes the whole stage. */
const GRAND_COINS = 150;
const FALLBACK_PICTURE = "/assets/icon.svg";

const pictureOf = (address) => localPicture(address) ?? FALLBACK_PICTURE;

/** The row of gift buttons. `onGive(gift, num)` sends; `spendable()` is what may still be spent. */
export class GiftDock {
  #gifts = [];
  #num = 1;
  #onGive;
  #spendable;

  constructor(onGive, spendable) {
    this.#onGive = onGive;
    this.#spendable = spendable;
    const group = byId("gift-count");
    group.replaceChildren(...COUNTS.map((count) => {
      const button = make("button", { type: "button", tabIndex: count === 1 ? 0 : -1, attributes: { role: "radio", "aria-checked": String(count === 1) } }, `×${count}`);
      button.addEventListener("click", () => this.#choose(count));
      return button;
    }));
    group.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!move) return;
      event.preventDefault();
      const index = (COUNTS.indexOf(this.#num) + move + COUNTS.length) % COUNTS.length;
      this.#choose(COUNTS[index]);
      group.children[index].focus();
    });
  }

  show(gifts) {
    this.#gifts = gifts;
    byId("gifts").replaceChildren(...gifts.map((gift) => this.#button(gift)));
    this.refresh();
  }

  /** Prices the reader cannot afford are greyed out. */
  refresh() {
    const spendable = this.#spendable();
    for (const [index, button] of [...byId("gifts").children].entries()) {
      button.disabled = this.#gifts[index].coin * this.#num > spendable;
      button.title = button.disabled ? t("coinsShort") : "";
    }
  }

  #choose(count) {
    this.#num = count;
    for (const [index, button] of [...byId("gift-count").children].entries()) {
      button.setAttribute("aria-checked", String(COUNTS[index] === count));
      button.tabIndex = COUNTS[index] === count ? 0 : -1;
    }
    this.refresh();
  }

  #button(gift) {
    const button = make("button", { type: "button", className: "gift", dataset: { giftId: gift.id } },
      make("img", { src: pictureOf(gift.image), alt: "", width: 46, height: 46 }),
      make("span", { className: "name" }, giftName(gift.name)),
      make("span", { className: "price" }, icon("coin"), String(gift.coin)));
    button.addEventListener("click", () => {
      this.#onGive(gift, this.#num);
      if (!reducedMotion.matches) button.animate([{ transform: "scale(.9)" }, { transform: "scale(1.06)" }, { transform: "none" }], { duration: 220 });
    });
    return button;
  }
}

/** Shows gifts that arrive. */
export class GiftShow {
  #stage;
  #banners = new Map();
  #waiting = new Map();

  constructor(stage) {
    this.#stage = stage;
  }

  /** `gift`: {user, giftId, name, image, num, coins}, `coins` being what it cost in all. */
  arrive(gift) {
    this.#stage.excite(Math.min(1, 0.15 + gift.coins / 400));
    if (document.hidden) return;
    this.#fly(gift);
    const key = `${gift.user.id ?? gift.user.name}:${gift.giftId ?? gift.name}`;
    const banner = this.#banners.get(key);
    if (banner) {
      this.#count(banner, gift.num);
    } else if (this.#waiting.has(key)) {
      this.#waiting.get(key).num += gift.num;
    } else if (this.#banners.size < BANNERS_MAX) {
      this.#open(key, gift);
    } else if (this.#waiting.size < WAITING_MAX) {
      this.#waiting.set(key, { ...gift });
    }
  }

  clear() {
    for (const { timer } of this.#banners.values()) clearTimeout(timer);
    this.#banners.clear();
    this.#waiting.clear();
    byId("gift-banners").replaceChildren();
    byId("gift-flights").replaceChildren();
  }

  #open(key, gift) {
    const combo = make("span", { className: "combo" });
    const node = make("div", { className: "gift-banner" },
      avatar(gift.user),
      make("span", { className: "names" }, make("b", {}, gift.user.name), make("small", {}, t("comboBy", { gift: giftName(gift.name) }))),
      make("img", { src: pictureOf(gift.image), alt: "" }), combo);
    byId("gift-banners").append(node);
    const banner = { key, node, combo, num: 0, timer: 0 };
    this.#banners.set(key, banner);
    if (!reducedMotion.matches) {
      node.animate([{ transform: "translateX(-110%)", opacity: 0 }, { transform: "translateX(4%)", opacity: 1, offset: 0.8 }, { transform: "none", opacity: 1 }], { duration: 380, easing: "ease-out" });
    }
    this.#count(banner, gift.num);
  }

  #count(banner, num) {
    banner.num += num;
    banner.combo.textContent = `×${banner.num}`;
    if (!reducedMotion.matches) {
      banner.combo.animate([{ transform: "scale(2.1)" }, { transform: "scale(.88)", offset: 0.6 }, { transform: "none" }], { duration: 320, easing: "ease-out" });
    }
    clearTimeout(banner.timer);
    banner.timer = setTimeout(() => this.#close(banner), COMBO_MS);
  }

  #close({ key, node }) {
    this.#banners.delete(key);
    node.remove();
    const next = this.#waiting.entries().next();
    if (next.done) return;
    this.#waiting.delete(next.value[0]);
    this.#open(...next.value);
  }

  #fly(gift) {
    const layer = byId("gift-flights");
    if (reducedMotion.matches || layer.children.length >= FLIGHTS_MAX) return;
    const grand = gift.coins >= GRAND_COINS;
    if (grand && layer.querySelector(".grand")) return;
    const { width, height } = layer.getBoundingClientRect();
    const size = grand ? 190 : 76;
    const toX = width * (grand ? 0.5 : 0.35 + Math.random() * 0.3) - size / 2;
    const toY = height * (grand ? 0.45 : 0.3 + Math.random() * 0.25) - size / 2;
    const fromX = width * (0.15 + Math.random() * 0.7);
    const node = make("img", { className: `gift-flight ${grand ? "grand" : ""}`, src: pictureOf(gift.image), alt: "" });
    layer.append(node);
    const place = (x, y, scale, turn) => `translate3d(${x}px, ${y}px, 0) scale(${scale}) rotate(${turn}deg)`;
    const flight = node.animate([
      { transform: place(fromX, height, 0.3, -25), opacity: 0 },
      { transform: place(toX, toY, 1.15, 6), opacity: 1, offset: 0.35, easing: "ease-in-out" },
      { transform: place(toX, toY - 8, 1, -3), opacity: 1, offset: 0.75 },
      { transform: place(toX, toY - 60, 1.5, 0), opacity: 0 },
    ], { duration: grand ? 2_800 : 1_500, easing: "cubic-bezier(.2,.8,.3,1)" });
    flight.addEventListener("finish", () => node.remove());
    setTimeout(
      () => node.isConnected && this.#stage.burst(toX + size / 2, toY + size / 2, hueOf(gift.name), grand ? 90 : 22),
      flight.effect.getTiming().duration * 0.33,
    );
  }
}
