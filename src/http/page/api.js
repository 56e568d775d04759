// The HTTP API: one envelope, `{"msg":"ok"|"fail","data":…}`.

const REQUEST_MS_MAX = 10_000;
const TOKEN_KEY = "liveroom.token";

/** A request that failed: the server's text, or none if it was not reached. */
export class ApiError extends Error {
  constructor(status, message, retryAfterMs) {
    super(message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

// Per tab on purpose: two tabs may be two users.
export const token = {
  get: () => sessionStorage.getItem(TOKEN_KEY),
  set: (value) => (value ? sessionStorage.setItem(TOKEN_KEY, value) : sessionStorage.removeItem(TOKEN_KEY)),
};

async function call(method, path, body) {
  const headers = {};
  if (token.get()) headers.token = token.get();
  if (body) headers["content-type"] = "application/json";
  let response;
  let envelope = null;
  try {
    response = await fetch(path, {
      method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(REQUEST_MS_MAX),
    });
    envelope = await response.json().catch(() => null);
  } catch {
    throw new ApiError(0, "", 0);
  }
  if (response.ok && envelope?.msg === "ok") return envelope.data;
  const retryAfterMs = 1000 * (Number(response.headers.get("retry-after")) || 0);
  throw new ApiError(response.status, failureText(envelope?.data), retryAfterMs);
}

/** `data` of a failure is a text, or for validation a list of `{message}`. */
function failureText(data) {
  if (typeof data === "string") return data;
  if (Array.isArray(data)) return failureText(data[0]);
  return typeof data?.message === "string" ? data.message : "";
}

export const api = {
  login: (username, password) => call("POST", "/api/login", { username, password }),
  register: (username, password, repassword) => call("POST", "/api/reg", { username, password, repassword }),
  logout: () => call("POST", "/api/logout", {}),
  userInfo: () => call("GET", "/api/user/info"),
  lives: (page) => call("GET", `/api/live/list/${page}`),
  live: (id) => call("GET", `/api/live/read/${id}`),
  /** The newest comments of a live, newest first. */
  history: (id, limit) => call("GET", `/api/live/${id}/history?limit=${limit}`),
  /** What a comment of the reader would be checked for, with the results. */
  me: (liveId) => call("GET", `/api/live/${liveId}/me`),
  /** What holds against a user; for the streamer and moderators. */
  sanctions: (liveId, userId) => call("GET", `/api/live/${liveId}/sanctions?user=${userId}`),
  /** Comments of a live that wait for review, and those that were reported; for the streamer and moderators. */
  held: (liveId) => call("GET", `/api/live/${liveId}/held`),
  reports: (liveId) => call("GET", `/api/live/${liveId}/reports`),
  follow: (userId, follow) => call("POST", "/api/user/follow", { user_id: userId, follow }),
  createLive: (title, cover) => call("POST", "/api/live/create", { title, cover }),
  changeStatus: (id, type) => call("POST", "/api/live/changestatus", { id, type }),
  gifts: () => call("GET", "/api/gift/list"),
};
