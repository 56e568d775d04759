// Who is logged in, and what their role may do. The server decides; the console shows what would be allowed.

import { change, read, setCsrf } from "./admin.js";

/** Whether somebody logged in with this browser: the cookie itself is not for scripts. Until then nothing is asked. */
const HINT_KEY = "liveroom.console";

let me = null;

export const current = () => me;

/** Whether the manager has `permission`; null stands for every one. */
export const may = (permission) => permission === null || Boolean(me?.permissions.includes(permission));

function take(answer) {
  me = answer;
  setCsrf(answer?.csrf ?? "");
  if (answer) localStorage.setItem(HINT_KEY, "1");
  else localStorage.removeItem(HINT_KEY);
  return me;
}

export const refresh = async () => take(await read("/me"));

/** Reads who is logged in, if somebody may be; throws `ApiError`. */
export const restore = async () => (localStorage.getItem(HINT_KEY) ? refresh() : null);
export const logIn = async (name, password, code) => take(await change("POST", "/login", { name, password, ...(code && { code }) }));
export const forget = () => take(null);

export async function logOut() {
  try {
    await change("POST", "/logout", {});
  } finally {
    forget();
  }
}
