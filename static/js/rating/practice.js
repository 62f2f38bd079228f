// Keys on the practice card: a key presses the button that names it, as on the rating page.
// After the answer, what is said about it comes into focus, and Enter leads on.
(() => {
  "use strict";
  const told = document.getElementById("told-title");
  if (told) told.focus({ preventScroll: true });

  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("textarea, select, input:not([type=radio], [type=checkbox])")) return;
    const key = event.key.toLowerCase();
    if (key === "enter" && event.target === told) {
      document.getElementById("next").click();
      return;
    }
    for (const button of document.querySelectorAll("button[aria-keyshortcuts][name=choice]")) {
      if (button.getAttribute("aria-keyshortcuts").toLowerCase().split(" ").includes(key)) {
        event.preventDefault();
        button.click();
        return;
      }
    }
  });
})();
