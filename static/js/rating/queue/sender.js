// Sends what is in the outbox, in order, one at a time, again and again until the server has
// answered: soon after a failure, then ever more rarely, and at once when the browser comes
// online. Each card has its own code and the server counts a code once, so a verdict whose
// answer was lost may be sent again.
import { settings } from "../desk.js";
import * as outbox from "./outbox.js";
import { ask } from "./server.js";
import { inTurn } from "./turns.js";

const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 30_000;
let failures = 0;
let timer = 0;
let work = null;
let again = false;
let hear = { lastHeld: () => "", answered: () => {}, state: () => {} };

export function start(listener) {
  hear = listener;
  window.addEventListener("online", () => flush());
}

// Send all that waits. Resolves when the outbox is empty or has to wait.
export function flush() {
  again = true;
  work ??= sendAgain().finally(() => {
    work = null;
  });
  return work;
}

async function sendAgain() {
  clearTimeout(timer);
  while (again) {
    again = false;
    await inTurn(sendAll);
  }
}

async function sendAll() {
  for (let entry = outbox.first(); entry; entry = outbox.first()) {
    const wasOffline = !navigator.onLine;
    outbox.markTried(entry, true);
    const body = new URLSearchParams(entry.fields);
    body.set("showing", hear.lastHeld());
    const { kind, data } = await ask(entry.url, body);
    const outcome = await outcomeOf(kind, data);
    if (kind === "offline" && wasOffline && !navigator.onLine) outbox.markTried(entry, false);
    if (["offline", "signed-out", "other-person", "trouble"].includes(outcome)) {
      retryLater(outcome);
      return;
    }
    failures = 0;
    outbox.drop(entry);
    if (outcome !== "refused") outbox.rememberDone(entry.code);
    hear.answered({ entry, outcome, data });
  }
  hear.state("sent");
}

// A card that is "gone" may only be unknown to whoever is signed in now.
async function outcomeOf(kind, data) {
  if (kind === "gone" && (await isSomebodyElse())) return "other-person";
  if (["ok", "conflict", "refused"].includes(kind) && data === null) return "trouble";
  return kind;
}

async function isSomebodyElse() {
  try {
    const page = await (await fetch(settings.page, { cache: "no-store" })).text();
    const shown = new DOMParser().parseFromString(page, "text/html").getElementById("desk");
    return shown?.dataset.rater !== settings.rater;
  } catch {
    return true;
  }
}

function retryLater(outcome) {
  hear.state(outcome);
  const pause = Math.min(FIRST_PAUSE * 2 ** failures, LONGEST_PAUSE);
  failures += 1;
  clearTimeout(timer);
  timer = setTimeout(flush, pause * (0.75 + Math.random() / 2));
}

// Take the last verdict back before it was ever sent; null where it is too late for that.
export async function withdraw() {
  return inTurn(
    () => {
      const entry = outbox.last();
      if (!entry || entry.tried) return null;
      outbox.drop(entry);
      return entry;
    },
    { ifFree: true },
  );
}
