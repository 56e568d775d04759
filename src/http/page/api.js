// What the page asks of the HTTP API.

import { ApiError, request } from "./request.js";

export { ApiError };

const TOKEN_KEY = "liveroom.token";

// Per tab on purpose: two tabs may be two users.
export const token = {
  get: () => sessionStorage.getItem(TOKEN_KEY),
  set: (value) => (value ? sessionStorage.setItem(TOKEN_KEY, value) : sessionStorage.removeItem(TOKEN_KEY)),
};

/** A long history takes a while to read. */
const EXPORT_MS_MAX = 300_000;

const call = (method, path, body, timeoutMs) => request(method, path, { headers: token.get() ? { token: token.get() } : {}, body, timeoutMs });

export const api = {
  login: (username, password) => call("POST", "/api/login", { username, password }),
  register: (username, password, repassword) => call("POST", "/api/reg", { username, password, repassword }),
  logout: () => call("POST", "/api/logout", {}),
  changeProfile: (nickname, avatar) => call("POST", "/api/user/profile", { nickname, avatar }),
  changePassword: (oldpassword, password, repassword) => call("POST", "/api/user/password", { oldpassword, password, repassword }),
  /** What is stored of the reader, as JSON lines. */
  exportOwn: () => call("GET", "/api/user/export", undefined, EXPORT_MS_MAX),
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
