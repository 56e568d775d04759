// What the console asks of the operators' API, as the manager who is logged in.

import { ApiError, request } from "./request.js";

export { ApiError };

const listeners = { ended: () => {}, confirm: async () => false, renew: async () => {} };
let csrf = "";

/** Takes the text that changing requests carry, so that another site cannot make them. */
export const setCsrf = (value) => { csrf = value; };

/**
 * `ended()` runs when the server does not know the session any more; `confirm()` asks managers who they are once more,
 * and resolves with whether they said so; `renew()` reads the session again, with its text for changing requests.
 */
export function listenTo(handlers) {
  Object.assign(listeners, handlers);
}

function withQuery(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(given).toString();
  return text ? `/admin${path}?${text}` : `/admin${path}`;
}

/** Sends once, and once more after what the server asked for first. */
async function call(send, isLogin = false) {
  try {
    return await send();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401 && !isLogin) listeners.ended();
    if (error.code === "confirm_required" && (await listeners.confirm())) return send();
    // Another tab logged in meanwhile.
    if (error.code === "csrf") {
      await listeners.renew();
      return send();
    }
    throw error;
  }
}

/** Reads. With `isPoll`, nobody asked for it: the session does not count it as use. */
export function read(path, query = {}, { isPoll = false } = {}) {
  return call(() => request("GET", withQuery(path, query), { headers: isPoll ? { "x-liveroom-poll": "1" } : {} }));
}

/** Changes something. A body that is a text is sent as it is. */
export function change(method, path, body, query = {}) {
  return call(() => request(method, withQuery(path, query), { headers: { "x-csrf-token": csrf }, body }), path === "/login");
}

/** The address of something to save. */
export const addressOf = withQuery;
