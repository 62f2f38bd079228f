// What the server tells this page about itself: addresses, keys, words. Every sentence that the
// scripts say comes from the template, translated; none stands in a script.
const byId = (id) => document.getElementById(id);

const desk = byId("desk");
export const settings = desk.dataset;
export const bindings = JSON.parse(desk.dataset.keys || "{}");
export const calm = matchMedia("(prefers-reduced-motion: reduce)");

// The words named `name`, with {placeholders} filled in.
export function words(name, values = {}) {
  const found = byId("words").dataset[name] ?? "";
  return fill(found, values);
}

export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}

// Read aloud by a screen reader; seen by nobody.
export function say(text) {
  const said = byId("said");
  said.textContent = "";
  requestAnimationFrame(() => {
    said.textContent = text;
  });
}

// Beside the verdict, and aloud.
export function notify(text) {
  const notice = byId("notice");
  if (notice) notice.textContent = text;
  if (text) say(text);
}
