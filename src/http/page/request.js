// A request of the HTTP API: one envelope, `{"msg":"ok"|"fail","data":…}`.

const REQUEST_MS_MAX = 10_000;

/** A request that failed: the server's text, or none if it was not reached, and its code if it has one. */
export class ApiError extends Error {
  constructor(status, message, retryAfterMs, code = "") {
    super(message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
    this.code = code;
  }
}

/** Resolves with the data of the answer, or with all of it as text if it is none of JSON. `body` is sent as JSON unless it is a text. */
export async function request(method, path, { headers = {}, body, timeoutMs = REQUEST_MS_MAX } = {}) {
  const isText = typeof body === "string";
  if (body !== undefined) headers["content-type"] = isText ? "text/plain; charset=utf-8" : "application/json";
  let response;
  let text;
  try {
    response = await fetch(path, {
      method, headers, body: isText ? body : JSON.stringify(body), signal: AbortSignal.timeout(timeoutMs),
    });
    text = await response.text();
  } catch {
    throw new ApiError(0, "", 0);
  }
  const envelope = envelopeOf(response, text);
  if (response.ok && envelope === null) return text;
  if (response.ok && envelope.msg === "ok") return envelope.data;
  const retryAfterMs = 1000 * (Number(response.headers.get("retry-after")) || 0);
  throw new ApiError(response.status, failureText(envelope?.data), retryAfterMs, envelope?.code);
}

function envelopeOf(response, text) {
  if (!response.headers.get("content-type")?.startsWith("application/json")) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** `data` of a failure is a text, or for validation a list of `{message}`. */
function failureText(data) {
  if (typeof data === "string") return data;
  if (Array.isArray(data)) return failureText(data[0]);
  return typeof data?.message === "string" ? data.message : "";
}
