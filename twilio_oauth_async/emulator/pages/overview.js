// Keeps the page up to date. Without scripts the page has a link that loads it again.
"use strict";

const state = document.getElementById("state");
const live = document.getElementById("live");

async function update() {
  if (document.hidden) return;
  try {
    const response = await fetch("/", { headers: { Accept: "text/html" } });
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    // The control token has changed: the server is another one.
    if (!fresh.getElementById("state")) return location.reload();
    for (const section of state.children) {
      const other = fresh.getElementById(section.id);
      // Only what has changed: a button must not go away while it is pressed, nor a menu while it is open.
      if (section.innerHTML !== other.innerHTML && !section.contains(document.activeElement)) {
        section.replaceChildren(...other.childNodes);
      }
    }
    live.textContent = live.dataset.live;
  } catch {
    live.textContent = live.dataset.stopped;
  }
}

if (state) setInterval(update, 1000);
