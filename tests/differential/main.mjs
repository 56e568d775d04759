// Plays scripts against liveroom and socket.io and reports where the two differ. Started by tests/clients/differential.rs:
//
//   node main.mjs table                                          the table of listed differences, for the README
//   node main.mjs files     KIND PORT OPTIONS                    every script of scripts/KIND
//   node main.mjs generated KIND PORT OPTIONS SEED COUNT         so many generated ones
//
// KIND is `patient` or `hasty`: without deadlines that pass, or with. PORT is liveroom's. OPTIONS is JSON, what the
// reference is started with. The exit status is 1 if anything differs that is not listed.

import { readdirSync, readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";

import { compare, say, signature } from "./compare.mjs";
import { differences, table } from "./differences.mjs";
import { generate } from "./grammar.mjs";
import { play } from "./player.mjs";
import { isWhole, parseFile } from "./script.mjs";

/** Scripts under way at once. */
const LANES = 24;

/** What a step may take before a difference is believed, in ms: engine.io looks each 100 ms whether a poll must go. */
const SETTLE_MS = 250;

/** How often the filed scripts are played again, alone, for listed differences that did not show. */
const ROUNDS_AGAIN_MAX = 20;

/** Findings that are shrunk and printed; each takes many runs. */
const FINDINGS_MAX = 12;

const [mode, kind, port, options, ...rest] = process.argv.slice(2);

async function startReference() {
  const worker = new Worker(new URL("./reference.mjs", import.meta.url), { workerData: JSON.parse(options) });
  worker.unref();
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

class Judge {
  #ports;
  /** How often each listed difference was met. */
  listed = new Map();
  findings = new Map();
  played = 0;

  constructor(ports) {
    this.#ports = ports;
  }

  async #traces(lines, settleMs) {
    const [reference, liveroom] = await Promise.all([
      play(lines, this.#ports.reference, settleMs),
      play(lines, this.#ports.liveroom, settleMs),
    ]);
    return { reference, liveroom };
  }

  /** The difference of a script that is still there when nothing is in a hurry, and is there each time. */
  async #difference(lines) {
    const quick = compare(lines, await this.#traces(lines, 0));
    if (!quick || quick.listed) return quick;
    const slow = await this.#slow(lines);
    // On a busy machine a step may take longer than it was given.
    return !slow || slow.listed ? slow : this.#slow(lines);
  }

  async #slow(lines) {
    const traces = await this.#traces(lines, SETTLE_MS);
    const difference = compare(lines, traces);
    return difference && { ...difference, traces };
  }

  async judge({ name, lines }) {
    const difference = await this.#difference(lines);
    this.played += 1;
    if (!difference) return undefined;
    if (difference.listed) {
      this.#count(difference.listed);
    } else {
      const key = signature(difference);
      const known = this.findings.get(key);
      if (known) known.count += 1;
      else this.findings.set(key, { name, lines, difference, count: 1 });
    }
    return difference;
  }

  #count(title) {
    this.listed.set(title, (this.listed.get(title) ?? 0) + 1);
  }

  /**
   * Plays a script once more for the listed difference that it shows. Some show only if a step follows the one before
   * within the 100 ms after which engine.io looks whether a poll must go, which a busy machine does not always manage.
   */
  async playAgain({ lines }) {
    const difference = compare(lines, await this.#traces(lines, 0));
    if (difference?.listed) this.#count(difference.listed);
  }

  /** Drops the steps without which a script still differs in a way that is not listed. */
  async shrink(finding) {
    let { lines, difference } = finding;
    for (let at = lines.length - 1; at >= 0; at -= 1) {
      const fewer = lines.toSpliced(at, 1);
      if (fewer.length === 0 || !isWhole(fewer)) continue;
      const still = await this.#slow(fewer);
      if (still && !still.listed) [lines, difference] = [fewer, still];
    }
    return { ...finding, lines, difference };
  }
}

function print({ name, lines, difference, count }) {
  const { traces } = difference;
  console.log(`\n## ${name}${count > 1 ? ` (and ${count - 1} like it)` : ""}`);
  lines.forEach((line) => console.log(line));
  console.log(`# differs: ${difference.name}, step ${difference.step + 1}: ${difference.line}`);
  for (const side of ["reference", "liveroom"]) {
    console.log(`# ${side}: ${difference[side]}`);
    for (const event of traces[side]) console.log(`#   ${event.step + 1} ${event.name}: ${say(event)}`);
  }
}

/** Judges what `next` gives until it gives nothing. */
async function judgeAll(judge, next) {
  const lane = async () => {
    for (let script = next(); script; script = next()) await judge.judge(script);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const findings = [...judge.findings.values()];
  for (const found of await Promise.all(findings.slice(0, FINDINGS_MAX).map((finding) => judge.shrink(finding))))
    print(found);
  for (const finding of findings.slice(FINDINGS_MAX))
    console.log(`and ${finding.name}: ${signature(finding.difference)}`);
  console.log(`\n${judge.played} scripts, ${findings.length} differences that are not listed`);
  for (const [title, count] of judge.listed) console.log(`  ${count} × ${title}`);
  return findings.length === 0;
}

function filedScripts() {
  const folder = new URL(`./scripts/${kind}/`, import.meta.url);
  return readdirSync(folder)
    .filter((name) => name.endsWith(".txt"))
    .flatMap((file) => parseFile(readFileSync(new URL(file, folder), "utf8")).map((script) => ({ ...script, file })));
}

async function main() {
  if (mode === "table") return (console.log(table()), true);
  const judge = new Judge({ reference: await startReference(), liveroom: Number(port) });
  if (mode === "files") {
    const [scripts, queue] = [filedScripts(), filedScripts()];
    const isFine = await judgeAll(judge, () => queue.shift());
    const expected = differences.filter((listed) => listed.explains && (listed.kind ?? "patient") === kind);
    const unseenNow = () => expected.filter(({ title }) => !judge.listed.has(title));
    for (let round = 0; unseenNow().length > 0 && round < ROUNDS_AGAIN_MAX; round += 1)
      for (const script of scripts) await judge.playAgain(script);
    const unseen = unseenNow();
    unseen.forEach(({ title }) => console.log(`listed, but no script in scripts/ shows it: ${title}`));
    return isFine && unseen.length === 0;
  }
  const [seed, count] = rest.map(Number);
  console.log(`seed ${seed}`);
  let number = 0;
  return judgeAll(judge, () => (number < count ? generate(kind, seed, number++) : undefined));
}

process.exit((await main()) ? 0 : 1);
