// "Saved: A is better. Undo." for a few seconds. It takes no focus and hides no button; what it
// says is read aloud by the live region, and Undo stays in the bar when it has gone.
const SHOWN_FOR = 6000;
let timer = 0;

const toast = () => document.getElementById("toast");

export function show(text, { undo = true } = {}) {
  const place = toast();
  place.querySelector(".words").textContent = text;
  place.querySelector("button").hidden = !undo;
  place.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(hide, SHOWN_FOR);
}

function hide() {
  const place = toast();
  if (place.contains(document.activeElement) || place.matches(":hover")) {
    timer = setTimeout(hide, SHOWN_FOR);
    return;
  }
  place.hidden = true;
}

export function hideNow() {
  clearTimeout(timer);
  toast().hidden = true;
}
