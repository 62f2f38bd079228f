// Verdicts on their way. Each is written down here before it is sent and removed only when the
// server has answered for it, so a lost connection, a reload or a closed window loses none.
import { names, read, remove, write } from "./store.js";

const OUT = "out:";
const DONE = "done";
const REMEMBERED = 100;
let latest = 0;

const codeIn = (name) => name.split(":")[2];

// False where this card has been judged already, here or in another window.
export function put(entry) {
  if (isJudged(entry.code)) return false;
  latest = Math.max(Date.now(), latest + 1);
  write(`${OUT}${String(latest).padStart(15, "0")}:${entry.code}`, { ...entry, tried: false });
  return true;
}

export function size() {
  return names(OUT).length;
}

export function first() {
  return entryNamed(names(OUT)[0]);
}

export function last() {
  return entryNamed(names(OUT).at(-1));
}

export function isWaiting(code) {
  return names(OUT).some((name) => codeIn(name) === code);
}

export function isJudged(code) {
  return isWaiting(code) || (read(DONE) ?? []).includes(code);
}

// Once tried, the server may have it, even where its answer never came.
export function markTried(entry, tried) {
  write(entry.name, { ...withoutName(entry), tried });
}

export function drop(entry) {
  remove(entry.name);
}

export function rememberDone(code) {
  write(DONE, [...(read(DONE) ?? []).filter((one) => one !== code), code].slice(-REMEMBERED));
}

export function forgetDone(code) {
  write(DONE, (read(DONE) ?? []).filter((one) => one !== code));
}

// The code in the name of a stored thing, if that is a verdict on its way.
export function codeOf(name) {
  return name.startsWith(OUT) ? codeIn(name) : null;
}

function entryNamed(name) {
  const entry = name && read(name);
  return entry ? { ...entry, name } : null;
}

function withoutName({ name, ...entry }) {
  return entry;
}
