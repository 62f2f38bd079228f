// The line that says, calmly, that verdicts wait here and why.
import { settings, words } from "../desk.js";
import * as outbox from "./outbox.js";

const WORDS = { "signed-out": "signedOut", "other-person": "otherPerson", trouble: "serverError" };
let state = "sent";

export function set(now) {
  state = now;
  show();
}

// What any answer, or none, tells about the connection. The browser's own word is not enough:
// a machine without a network may well reach a server of its own.
export function heard(kind) {
  if (["offline", "signed-out", "trouble"].includes(kind)) set(kind);
  else if (!outbox.size()) set("sent");
}

export const isOffline = () => state === "offline";

export function show() {
  const line = document.getElementById("connection");
  const text = textFor(state);
  line.hidden = !text;
  if (line.dataset.said === text) return;
  line.dataset.said = text;
  line.replaceChildren(text);
  if (state === "signed-out" || state === "other-person") line.append(" ", signIn());
}

function textFor(now) {
  if (now === "offline") {
    const count = outbox.size();
    if (!count) return words("offlineNone");
    return words(count === 1 ? "offlineOne" : "offlineOther", { count });
  }
  return WORDS[now] ? words(WORDS[now]) : "";
}

function signIn() {
  const link = document.createElement("a");
  link.href = settings.page;
  link.textContent = words("signIn");
  return link;
}
