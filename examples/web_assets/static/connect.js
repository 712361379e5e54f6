// Keeps the page true while it waits. Without this script it reloads itself every few seconds.
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
    // A stream that merely ended is opened anew by the browser; one that was refused tells that the page is out of date.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.replace("/"), 1000);
  };
}

if (waiting) {
  // A browser opens six connections to one server, and a stream takes one: tabs that nobody sees do without.
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
  // A second click would ask for a second code.
  form.addEventListener("submit", () => setTimeout(() => (form.querySelector("button").disabled = true)));
}

addEventListener("pageshow", (event) => {
  if (event.persisted) location.replace("/"); // "back" shows a page of the past
});
