// What this browser keeps for one rater in one project. Each thing has a key of its own, so
// two windows never write over each other. Without storage (private mode, full) it lasts as
// long as the page.
import { settings } from "../desk.js";

const prefix = `whetstone:${settings.rater}:${settings.project}:`;
const memory = new Map();

export function read(name) {
  let text = memory.get(name) ?? null;
  try {
    text ??= localStorage.getItem(prefix + name);
  } catch {
    // no storage: the memory has it
  }
  try {
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

export function write(name, value) {
  const text = JSON.stringify(value);
  try {
    localStorage.setItem(prefix + name, text);
    memory.delete(name);
  } catch {
    memory.set(name, text);
  }
}

export function remove(name) {
  memory.delete(name);
  try {
    localStorage.removeItem(prefix + name);
  } catch {
    // nothing to remove
  }
}

// The names that begin with `start`, in order.
export function names(start) {
  const found = new Set([...memory.keys()]);
  try {
    for (let index = 0; index < localStorage.length; index += 1) {
      const key = localStorage.key(index);
      if (key.startsWith(prefix)) found.add(key.slice(prefix.length));
    }
  } catch {
    // the memory's names are all there are
  }
  return [...found].filter((name) => name.startsWith(start)).sort();
}

// `told(name, isThere)` when another window of this browser writes or removes something of ours.
export function onOtherWindow(told) {
  window.addEventListener("storage", (event) => {
    if (event.key?.startsWith(prefix)) {
      told(event.key.slice(prefix.length), event.newValue !== null);
    }
  });
}
