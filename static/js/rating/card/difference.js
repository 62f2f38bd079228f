// What differs between A and B, word by word, marked by the server; pressed again it goes away.
import { notify, words } from "../desk.js";
import { current } from "./card.js";
import { ask } from "../queue/server.js";

const kept = new WeakMap(); // card -> the two texts as they were

export async function toggle() {
  const card = current();
  const button = document.getElementById("difference");
  if (!button || card.hasAttribute("data-comparing")) return;
  if (button.getAttribute("aria-pressed") === "true") {
    restore(card);
    button.setAttribute("aria-pressed", "false");
    return;
  }
  card.setAttribute("data-comparing", "");
  const { kind, data } = await ask(card.dataset.difference);
  card.removeAttribute("data-comparing");
  if (card !== current()) return;
  if (kind !== "ok" || typeof data?.left !== "string") {
    notify(words("noConnection"));
    return;
  }
  const places = texts(card);
  kept.set(card, places.map((place) => [...place.childNodes]));
  places[0].innerHTML = data.left;
  places[1].innerHTML = data.right;
  button.setAttribute("aria-pressed", "true");
}

function restore(card) {
  const before = kept.get(card);
  if (before) texts(card).forEach((place, index) => place.replaceChildren(...before[index]));
}

const texts = (card) => [...card.querySelectorAll(".answer .text")];
