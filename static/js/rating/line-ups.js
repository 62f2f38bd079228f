// Places of a line-up by dragging and by keys. Without this script the fields do it alone.
const list = document.querySelector("[data-line-up]");
const told = document.querySelector("#moved");
let dragged = null;

const answers = () => [...list.children];
const field = (answer) => answer.querySelector("select");

function say(answer) {
  told.textContent = told.dataset.words
    .replace("{letter}", answer.dataset.answer)
    .replace("{place}", field(answer).value);
}

// The order on the page is the order of places: who moves an answer ranks them all.
function rank(moved) {
  answers().forEach((answer, index) => { field(answer).value = String(index + 1); });
  say(moved);
}

function move(answer, by) {
  const all = answers();
  const place = all.indexOf(answer) + by;
  if (place < 0 || place >= all.length) return;
  if (by < 0) all[place].before(answer);
  else all[place].after(answer);
  answer.querySelector(".handle").focus();
  rank(answer);
}

list.addEventListener("dragstart", (event) => {
  dragged = event.target.closest("li");
  dragged.classList.add("dragged");
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", dragged.dataset.answer);
});

list.addEventListener("dragover", (event) => {
  const over = event.target.closest("li");
  if (!dragged || !over) return;
  event.preventDefault();
  if (over === dragged) return;
  const box = over.getBoundingClientRect();
  if (event.clientY < box.top + box.height / 2) over.before(dragged);
  else over.after(dragged);
});

list.addEventListener("drop", (event) => event.preventDefault());

list.addEventListener("dragend", () => {
  if (!dragged) return;
  dragged.classList.remove("dragged");
  rank(dragged);
  dragged = null;
});

list.addEventListener("keydown", (event) => {
  const answer = event.target.closest("li");
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
  if (event.target.matches(".handle") && ["ArrowUp", "ArrowDown"].includes(event.key)) {
    event.preventDefault();
    move(answer, event.key === "ArrowUp" ? -1 : 1);
  } else if (!event.target.matches("select") && /^[1-8]$/.test(event.key) && Number(event.key) <= answers().length) {
    event.preventDefault();
    field(answer).value = event.key;
    say(answer);
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    list.closest("form").requestSubmit();
  }
});
