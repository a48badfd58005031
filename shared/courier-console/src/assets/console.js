// Keeps what a page shows up to date. Without it the page works, and its link says "Refresh".
"use strict";

const PAUSE_MS = 5000;
const LONGEST_PAUSE_MS = 60000;

let tag = null;
let failures = 0;
let timer = 0;

function region(root) {
  return root.querySelector("[data-live]");
}

// Whoever is selecting text, or has opened something within, is not disturbed.
function isBusy(live) {
  const selection = window.getSelection();
  const selects = selection && !selection.isCollapsed && live.contains(selection.anchorNode);
  return selects || live.querySelector("details[open]") !== null;
}

function say(text) {
  const news = document.getElementById("news");
  if (news && news.textContent !== text) {
    news.textContent = text;
  }
}

// The status of each row, or of the one operation, by its link.
function statuses(live) {
  const found = new Map();
  if (live.dataset.status) {
    found.set("", live.dataset.status);
  }
  for (const row of live.querySelectorAll("tr[data-status]")) {
    const link = row.querySelector("a[id]");
    if (link) {
      found.set(link.id, row.dataset.status);
    }
  }
  return found;
}

function show(live, fresh) {
  const before = statuses(live);
  const after = statuses(fresh);
  const changed = [...after].filter(([id, status]) => before.get(id) !== status);
  const focused = live.contains(document.activeElement) ? document.activeElement.id : null;
  live.replaceChildren(...fresh.childNodes);
  live.dataset.status = fresh.dataset.status || "";
  if (focused) {
    const again = document.getElementById(focused);
    if (again) {
      again.focus({ preventScroll: true });
    }
  }
  for (const [id] of changed) {
    const link = id && document.getElementById(id);
    if (link && before.size > 0) {
      link.closest("tr").classList.add("changed");
    }
  }
  if (changed.length === 1 && changed[0][0] === "") {
    say("The operation is now " + changed[0][1] + ".");
  } else if (changed.length > 0) {
    say(changed.length === 1 ? "One operation has changed." : changed.length + " operations have changed.");
  }
}

async function look() {
  const live = region(document);
  if (!live || document.hidden) {
    return;
  }
  try {
    const headers = tag ? { "If-None-Match": tag } : {};
    const answer = await fetch(location.href, { headers, cache: "no-store", redirect: "error" });
    if (answer.status === 200) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = region(page);
      if (!fresh) {
        // The key has run out: the page that asks for it comes.
        location.reload();
        return;
      }
      if (!isBusy(live)) {
        show(live, document.adoptNode(fresh));
        tag = answer.headers.get("ETag");
      }
    } else if (answer.status !== 304) {
      throw new Error(String(answer.status));
    }
    if (failures > 0) {
      say("Up to date again.");
    }
    failures = 0;
  } catch {
    failures += 1;
    say("This page cannot be refreshed just now. It shows what was known before.");
  }
  plan();
}

function plan() {
  clearTimeout(timer);
  timer = setTimeout(look, Math.min(PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS));
}

if (region(document)) {
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      look();
    }
  });
  plan();
}
