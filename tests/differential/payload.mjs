// What a request says of Engine.IO's revision, and bodies of polls taken apart, so that traces show packets.

/** The revision that a request asks for, as liveroom reads it: 3, 4, or nothing if there is no such. */
export function revision(target) {
  const eio = new URLSearchParams(target.split("?")[1]).getAll("EIO").at(-1);
  return eio === undefined ? 3 : [3, 4].find((revision) => `${revision}` === eio);
}

/** The packets of a body, or nothing if it is no payload of this revision. */
export function decodePayload(version, body) {
  return version === 4 ? body.split("\u001e") : decodeLengths(body);
}

function decodeLengths(body) {
  const packets = [];
  for (let rest = body; rest !== "";) {
    const found = /^(\d+):/.exec(rest);
    if (!found) return undefined;
    const [start, end] = [found[0].length, found[0].length + Number(found[1])];
    if (rest.length < end) return undefined;
    packets.push(rest.slice(start, end));
    rest = rest.slice(end);
  }
  return packets;
}
