// Updates the page while a sign-in is pending. Without scripts the page reloads itself every few seconds.
"use strict";

const waiting = document.querySelector("[data-events]");
let source = null;

function listen() {
  source = new EventSource(waiting.dataset.events);
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    waiting.querySelector("[data-problem]").textContent = event.problem ?? "";
    if (event.state !== "pending") {
      source.close();
      location.replace("/");
    }
  };
  source.onerror = () => {
    // The browser reopens a stream that ended. CLOSED means that the server refused it: the page is out of date.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.replace("/"), 1000);
  };
}

if (waiting) {
  // A browser opens at most six connections to one server, and a stream uses one: hidden tabs close theirs.
  const follow = () => {
    source?.close();
    if (!document.hidden) listen();
  };
  document.addEventListener("visibilitychange", follow);
  follow();
}

for (const time of document.querySelectorAll("time")) {
  time.textContent = new Date(time.dateTime).toLocaleTimeString([], { timeStyle: "short" });
}

for (const form of document.forms) {
  // A second click would request a second code.
  form.addEventListener("submit", () => setTimeout(() => (form.querySelector("button").disabled = true)));
}

addEventListener("pageshow", (event) => {
  if (event.persisted) location.replace("/"); // the "back" button shows an old page
});
