// Names for requests that must have one effect however often they are sent.

/** 128 random bits; `crypto.randomUUID` would do, but only exists on https and localhost. */
export const newRequestId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
