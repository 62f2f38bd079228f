// A better answer, begun from A, from B or from nothing. What was typed is never thrown away
// without asking.
import { words } from "../desk.js";

let begun = "";

const sourceOf = (side) =>
  document.getElementById(`${side}-source`)?.content.textContent ?? "";

// Called when "start from" changes: puts the text there.
export function startFrom(radio) {
  const form = radio.form;
  const field = form.querySelector("[name=edit]");
  const typed = field.value.trim() !== "" && !isSource(field.value);
  if (typed && !window.confirm(words("replace"))) {
    for (const other of form.querySelectorAll("[name=edited_from]")) {
      other.checked = other.value === begun;
    }
    return;
  }
  begun = radio.value;
  field.value = begun ? sourceOf(begun) : "";
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

export function adopt(form) {
  begun = form.querySelector("[name=edited_from]:checked")?.value ?? "";
  if (form.querySelector("[name=edit]")?.value) {
    form.querySelector("details.edit").open = true;
  }
}

const isSource = (text) => ["left", "right"].some((side) => text === sourceOf(side));
