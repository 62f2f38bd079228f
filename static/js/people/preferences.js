// A key pressed in a key's field is written there by its name. Keys that a page needs are left
// alone, so nobody is caught in a field.
const LEFT_ALONE = new Set(["Tab", "Enter", " ", "Escape", "Shift", "Control", "Alt", "Meta"]);
const EMPTIES = new Set(["Backspace", "Delete"]);
const SIGNS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };

document.addEventListener("keydown", (event) => {
  const field = event.target;
  if (!field.matches?.("[data-key-field]") || LEFT_ALONE.has(event.key)) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (EMPTIES.has(event.key)) field.value = "";
  else if (event.key.length === 1) field.value = event.key.toUpperCase();
  else if (/^(?:Arrow|F\d|Home|End|Page|Insert)/.test(event.key)) {
    field.value = SIGNS[event.key] ?? event.key;
  } else return;
  event.preventDefault();
});
