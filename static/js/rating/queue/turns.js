// One window at a time: Web Locks where the page is served over https or on this machine, and
// otherwise a note in the storage that expires. The server counts each card once in any case.
import { settings } from "../desk.js";
import { read, remove, write } from "./store.js";

const name = `whetstone:${settings.rater}:${settings.project}`;
const me = String(Math.random());
const HELD_FOR = 30_000;
const LOOK_AGAIN = 200;

// Runs `work` while no other window does. With `ifFree` it gives up at once where one does.
export async function inTurn(work, { ifFree = false } = {}) {
  if (navigator.locks) {
    return navigator.locks.request(name, { ifAvailable: ifFree }, (lock) => lock && work());
  }
  while (!(await take())) {
    if (ifFree) return null;
    await pause(LOOK_AGAIN);
  }
  try {
    return await work();
  } finally {
    remove("turn");
  }
}

async function take() {
  const held = read("turn");
  if (held && held.by !== me && held.until > Date.now()) return false;
  write("turn", { by: me, until: Date.now() + HELD_FOR });
  await pause(20);
  return read("turn")?.by === me;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
