// The guidelines and the list of keys above the card, and copying an answer.
import { say, words } from "../desk.js";

const byId = (id) => document.getElementById(id);
const DIALOGS = { guidelines: "guidelines-dialog", help: "keys-dialog" };

export const isOpen = () => document.querySelector("dialog[open]");

export function show(action) {
  const dialog = byId(DIALOGS[action] ?? action);
  if (dialog && !dialog.open) dialog.showModal();
}

// The key that opened a dialog closes it.
export function closeBy(action) {
  const dialog = isOpen();
  if (dialog && DIALOGS[action] === dialog.id) dialog.close();
}

export function start() {
  if (navigator.clipboard) document.documentElement.classList.add("can-copy");
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    if (opener) {
      event.preventDefault();
      show(opener.dataset.dialog);
      return;
    }
    if (event.target.matches("dialog[open]")) event.target.close(); // the backdrop
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
}

async function copy(button) {
  await navigator.clipboard.writeText(byId(button.dataset.copy).innerText);
  button.textContent = words("copiedLabel");
  say(words("copied"));
}
