// Who the reader is: login, registration, balance.

import { api, ApiError, token } from "./api.js";
import { avatar, byId, rollTo, toast } from "./dom.js";
import { formatCount, onLanguageChange, refusalText, t } from "./i18n.js";

/** Balances above are shortened: the bar of a phone has no room for more digits. */
const BALANCE_WRITTEN_MAX = 9_999_999;

const balanceText = (coin) => (coin > BALANCE_WRITTEN_MAX ? formatCount(coin) : coin.toLocaleString("en"));

export class Account {
  user = null;
  /** Coins of gifts that are under way: spent as far as the dock is concerned. */
  #reserved = 0;
  #listeners = new Set();
  #registering = false;
  /** A change of the password under way: the login before it ends before the answer comes. */
  #renewal = null;
  #dialog = byId("login-dialog");

  constructor() {
    byId("open-login").addEventListener("click", () => this.askLogin());
    byId("logout").addEventListener("click", () => this.logout());
    byId("login-switch").addEventListener("click", () => this.#setMode(!this.#registering));
    byId("login-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    onLanguageChange(() => this.#setMode(this.#registering));
  }

  get profile() {
    return { id: this.user.id, name: this.user.nickname || this.user.username, avatar: this.user.avatar };
  }

  get spendable() {
    return (this.user?.coin ?? 0) - this.#reserved;
  }

  /** `listener()` runs when the user or the balance changes. */
  onChange(listener) {
    this.#listeners.add(listener);
  }

  /** Reads the user of a kept token; a token that is no good any more is forgotten. */
  async refresh() {
    await this.#renewal?.catch(() => {});
    if (!token.get()) return this.set(null);
    try {
      this.set(await api.userInfo());
    } catch (error) {
      // Not reached, or in trouble: the token may still be good.
      if (error.status >= 400 && error.status < 500 && error.status !== 429) this.forget();
    }
  }

  /** Goes on with the login that `act` resolves with, in place of the present one. */
  async renew(act) {
    this.#renewal = act();
    try {
      const user = await this.#renewal;
      token.set(user.token);
      this.set(user);
    } finally {
      this.#renewal = null;
    }
  }

  reserve(coins) {
    this.#reserved += coins;
    this.#changed();
  }

  release(coins) {
    this.#reserved -= coins;
    this.#changed();
  }

  setCoin(coin) {
    if (!this.user || !Number.isFinite(coin)) return;
    this.user.coin = coin;
    this.#changed();
  }

  /** Opens the login dialog; resolves when it closes with whether somebody is logged in. */
  askLogin() {
    this.#setMode(false);
    if (!this.#dialog.open) this.#dialog.showModal();
    byId("login-username").focus();
    return new Promise((resolve) => this.#dialog.addEventListener("close", () => resolve(this.user !== null), { once: true }));
  }

  /** Forgets the login of this tab without telling the server. */
  forget() {
    if (!this.user && !token.get()) return;
    token.set(null);
    this.set(null);
    toast(t("loggedOut"));
  }

  async logout() {
    await api.logout().catch(() => {});
    this.forget();
  }

  async #submit() {
    const username = byId("login-username").value.trim();
    const password = byId("login-password").value;
    const button = byId("login-submit");
    byId("login-error").textContent = "";
    button.disabled = true;
    try {
      if (this.#registering) {
        await api.register(username, password, byId("login-repassword").value);
        toast(t("created"), { tone: "good" });
      }
      const user = await api.login(username, password);
      token.set(user.token);
      this.set(user);
      byId("login-form").reset();
      toast(t("welcome", { name: this.profile.name }), { tone: "good" });
      this.#dialog.close();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      byId("login-error").textContent = refusalText(error);
      if (error.retryAfterMs) toast(refusalText({ code: "rate_limited" }), { tone: "bad", retryAfterMs: error.retryAfterMs });
    } finally {
      button.disabled = false;
    }
  }

  #setMode(registering) {
    this.#registering = registering;
    byId("repassword-row").hidden = !registering;
    byId("login-password").autocomplete = registering ? "new-password" : "current-password";
    byId("login-title").textContent = t(registering ? "registerTitle" : "loginTitle");
    byId("login-submit").textContent = t(registering ? "register" : "login");
    byId("login-switch").textContent = t(registering ? "toLogin" : "toRegister");
    byId("login-error").textContent = "";
  }

  /** The user that is logged in now, or null. */
  set(user) {
    this.user = user;
    byId("account").hidden = !user;
    byId("open-login").hidden = Boolean(user);
    if (user) {
      byId("account-avatar").replaceChildren(avatar(this.profile));
      byId("account-name").textContent = this.profile.name;
    } else {
      delete byId("balance").dataset.value;
    }
    this.#changed();
  }

  #changed() {
    if (this.user) rollTo(byId("balance"), this.user.coin, balanceText);
    for (const listener of this.#listeners) listener();
  }
}
