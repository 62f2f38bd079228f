// Keys, focus and copying on the rating card. The page rates without this file; with it, a
// rater need not take the hands off the keyboard. A key presses the button that is on the
// screen, so there is one way in which a verdict is sent.
(() => {
  "use strict";
  const KEYS = {
    1: "left", a: "left",
    2: "right", b: "right",
    0: "tie", e: "tie",
    x: "both_bad",
    s: "skip",
  };
  const TOO_SOON = 300; // ms; nobody has read a card by then
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);

  if (navigator.clipboard) root.classList.add("can-copy");

  function isTyping(target) {
    const fields = "textarea, select, input:not([type=radio], [type=checkbox], [type=button])";
    return target instanceof Element && (target.isContentEditable || target.matches(fields));
  }

  function press(button) {
    if (button && !button.disabled) button.click();
  }

  function show(dialog) {
    if (dialog && !dialog.open) dialog.showModal();
  }

  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.isComposing || event.keyCode === 229) return;
    if (isTyping(event.target)) return;
    const key = event.key.toLowerCase();
    const open = document.querySelector("dialog[open]");
    if (open) {
      const own = { "guidelines-dialog": "g", "keys-dialog": "?" }[open.id];
      if (key === own) open.close();
      return;
    }
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && key === "z") {
      event.preventDefault();
      press(byId("undo"));
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (key === "?") show(byId("keys-dialog"));
    else if (event.shiftKey) return;
    else if (key === "g") show(byId("guidelines-dialog"));
    else if (key === "u") press(byId("undo"));
    else if (Object.hasOwn(KEYS, key)) {
      press(document.querySelector(`#card button[name=choice][value=${KEYS[key]}]`));
    } else return;
    event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    if (opener) {
      event.preventDefault();
      show(byId(opener.dataset.dialog));
      return;
    }
    if (event.target.matches("dialog[open]")) {
      event.target.close(); // the backdrop
      return;
    }
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      navigator.clipboard.writeText(byId(copy.dataset.copy).innerText).then(() => {
        copy.textContent = "copied";
        say("Copied");
      });
    }
  });

  // On a phone the switch stays in reach; the other response starts at its beginning.
  document.addEventListener("change", (event) => {
    if (event.target.name !== "shown") return;
    const bar = event.target.closest(".switch");
    const top = bar.nextElementSibling.getBoundingClientRect().top - bar.offsetHeight;
    if (top < 0) window.scrollBy({ top, behavior: "instant" });
  });

  // The second half of a double click must not judge the card that the first half brought.
  let shownAt = -TOO_SOON;
  document.addEventListener(
    "click",
    (event) => {
      const byPointer = event.isTrusted && event.detail > 0;
      if (!byPointer || !event.target.closest("#card [name=choice]")) return;
      if (performance.now() - shownAt < TOO_SOON) {
        event.preventDefault();
        event.stopImmediatePropagation();
      }
    },
    { capture: true },
  );

  function say(words) {
    const said = byId("said");
    said.textContent = "";
    requestAnimationFrame(() => {
      said.textContent = words;
    });
  }

  function notify(words) {
    const notice = byId("notice");
    if (notice) notice.textContent = words;
    else say(words);
  }

  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id !== "card") return;
    shownAt = performance.now();
    const card = byId("card");
    const heading = byId("card-heading");
    const waiting = event.detail.requestConfig.verb === "get" && card.classList.contains("nothing");
    if (!heading || waiting) return;
    heading.focus({ preventScroll: true });
    say(card.classList.contains("nothing") ? heading.textContent : "Next comparison");
  });

  // Signed out meanwhile: the answer is the login page, not a card.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id !== "card" || !event.detail.shouldSwap) return;
    if (!event.detail.serverResponse.includes('id="card"')) {
      event.detail.shouldSwap = false;
      window.location.reload();
    }
  });

  document.addEventListener("htmx:sendError", () => {
    notify("Not saved: the server cannot be reached. Choose again when it is back.");
  });
  document.addEventListener("htmx:responseError", (event) => {
    const status = event.detail.xhr.status;
    const why = {
      403: "you seem to be signed out. Reload the page to sign in.",
      404: "this comparison is gone. Reload the page for the next one.",
    };
    notify(`Not saved: ${why[status] || `the server had an error (${status}). Choose again.`}`);
  });
})();
