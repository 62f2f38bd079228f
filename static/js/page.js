// Light, dark, high contrast or the system's choice: a cookie that the server reads, so the
// first paint is already right. Loaded in <head> without defer: it also marks <html> as "js",
// closes floating menus and brings the current tab into view. Nothing here is needed to read
// or to rate.
(() => {
  "use strict";
  const root = document.documentElement;
  const YEAR = 31536000;
  root.classList.add("js");

  const chosen = () => root.dataset.theme || "auto";

  function mark() {
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === chosen()));
    }
  }

  function choose(theme) {
    const secure = location.protocol === "https:" ? ";secure" : "";
    if (theme === "auto") {
      delete root.dataset.theme;
    } else {
      root.dataset.theme = theme;
    }
    document.cookie = `theme=${theme};path=/;max-age=${YEAR};samesite=lax${secure}`;
    mark();
  }

  const openMenus = () => document.querySelectorAll("details.menu[open]");

  document.addEventListener("DOMContentLoaded", () => {
    mark();
    const tab = document.querySelector("nav [aria-current]");
    if (tab) tab.scrollIntoView({ block: "nearest", inline: "center", behavior: "instant" });
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-choice]");
    if (button) choose(button.dataset.themeChoice);
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
