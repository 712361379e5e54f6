// Updates the page while a sign-in is pending. Without scripts the page reloads itself every few seconds.
"use strict";

const status = document.querySelector("[data-events]");
const left = document.querySelector("[data-seconds]");
let source = null;

function reload() {
  location.replace(status.dataset.home);
}

function listen() {
  source = new EventSource(status.dataset.events);
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    if (event.state !== "pending") {
      source.close();
      reload();
      return;
    }
    const text = status.dataset[event.note ?? "waiting"];
    if (status.textContent !== text) status.textContent = text;
  };
  source.onopen = () => {
    if (status.textContent === status.dataset.offline) status.textContent = status.dataset.waiting;
  };
  source.onerror = () => {
    // The browser reopens a stream that ended. CLOSED: the server refused it, so the page is out of date or busy.
    if (source.readyState === EventSource.CLOSED) setTimeout(reload, 3000);
    else setTimeout(() => { if (source.readyState !== EventSource.OPEN) status.textContent = status.dataset.offline; }, 5000);
  };
}

if (status) {
  // A browser opens at most six connections to one server, and a stream uses one: hidden tabs close theirs.
  const follow = () => {
    source?.close();
    if (!document.hidden) listen();
  };
  document.addEventListener("visibilitychange", follow);
  follow();
}

if (left) {
  // Counted from the server's seconds: the clock of this device may be wrong.
  const end = Date.now() + Number(left.dataset.seconds) * 1000;
  const show = () => {
    const seconds = Math.max(0, Math.round((end - Date.now()) / 1000));
    const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    left.textContent = left.dataset.left.replace("{}", time);
  };
  show();
  setInterval(show, 1000);
}

for (const form of document.forms) {
  // A second click would request a second code.
  form.addEventListener("submit", () => setTimeout(() => (form.querySelector("button").disabled = true)));
}

addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload(); // the "back" button shows an old page
});
