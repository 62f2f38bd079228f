// Light, dark, high contrast or the system's choice, and the size of the text: cookies that the
// server reads, so the first paint is already right. Loaded in <head> without defer: it also marks <html> as "js",
// closes floating menus and brings the current tab into view. Nothing here is needed to read
// or to rate.
(() => {
  "use strict";
  const root = document.documentElement;
  const YEAR = 31536000;
  root.classList.add("js");

  // What is chosen on <html>, and what stands for no choice.
  const SETTINGS = { theme: "auto", text: "normal" };

  function mark() {
    for (const [name, none] of Object.entries(SETTINGS)) {
      const chosen = root.dataset[name] || none;
      for (const button of document.querySelectorAll(`[data-${name}-choice]`)) {
        button.setAttribute("aria-pressed", String(button.dataset[`${name}Choice`] === chosen));
      }
    }
  }

  function choose(name, value) {
    if (value === SETTINGS[name]) delete root.dataset[name];
    else root.dataset[name] = value;
    const secure = location.protocol === "https:" ? ";secure" : "";
    document.cookie = `${name}=${value};path=/;max-age=${YEAR};samesite=lax${secure}`;
    mark();
  }

  const openMenus = () => document.querySelectorAll("details.menu[open]");

  document.addEventListener("DOMContentLoaded", () => {
    mark();
    const tab = document.querySelector("nav [aria-current]");
    if (tab) tab.scrollIntoView({ block: "nearest", inline: "center", behavior: "instant" });
  });
  document.addEventListener("click", (event) => {
    for (const name of Object.keys(SETTINGS)) {
      const button = event.target.closest(`[data-${name}-choice]`);
      if (button) choose(name, button.dataset[`${name}Choice`]);
    }
    for (const menu of openMenus()) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of openMenus()) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
})();
