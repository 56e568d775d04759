// The reader's own name, picture and password.

import { api, ApiError } from "./api.js";
import { byId, make, toast } from "./dom.js";
import { refusalText, t } from "./i18n.js";

export class ProfileDialog {
  #account;
  #dialog = byId("profile-dialog");

  constructor(account) {
    this.#account = account;
    byId("open-profile").addEventListener("click", () => this.#open());
    byId("profile-logout").addEventListener("click", () => {
      this.#dialog.close();
      account.logout();
    });
    byId("profile-export").addEventListener("click", () => this.#export());
    this.#onSubmit("profile-form", "profile-error", () => this.#save());
    this.#onSubmit("password-form", "password-error", () => this.#changePassword());
  }

  #open() {
    byId("profile-nickname").value = this.#account.user.nickname ?? "";
    byId("profile-avatar").value = this.#account.user.avatar ?? "";
    byId("password-form").reset();
    byId("profile-error").textContent = "";
    byId("password-error").textContent = "";
    this.#dialog.showModal();
  }

  async #save() {
    const user = await api.changeProfile(byId("profile-nickname").value.trim(), byId("profile-avatar").value.trim());
    this.#account.set(user);
    this.#dialog.close();
    toast(t("profileSaved"), { tone: "good" });
  }

  async #changePassword() {
    const [old, wanted, again] = ["old", "new", "again"].map((name) => byId(`password-${name}`).value);
    await this.#account.renew(() => api.changePassword(old, wanted, again));
    this.#dialog.close();
    toast(t("passwordChanged"), { tone: "good" });
  }

  async #export() {
    byId("profile-export").disabled = true;
    try {
      const address = URL.createObjectURL(new Blob([await api.exportOwn()], { type: "application/x-ndjson" }));
      make("a", { href: address, download: `liveroom-${this.#account.user.username}.jsonl` }).click();
      URL.revokeObjectURL(address);
    } catch (failure) {
      if (!(failure instanceof ApiError)) throw failure;
      toast(refusalText(failure), { tone: "bad" });
    } finally {
      byId("profile-export").disabled = false;
    }
  }

  /** Runs `act` when the form is sent, and shows in its place why it failed. */
  #onSubmit(form, error, act) {
    byId(form).addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = event.submitter ?? byId(form).querySelector("[type=submit]");
      byId(error).textContent = "";
      button.disabled = true;
      try {
        await act();
      } catch (failure) {
        if (!(failure instanceof ApiError)) throw failure;
        byId(error).textContent = refusalText(failure);
      } finally {
        button.disabled = false;
      }
    });
  }
}
