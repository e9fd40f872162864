// Keeps an open page true, and adds the few things that HTML alone can't do. Without it the pages work, and are still.

const live = document.getElementById("live");
const connection = document.getElementById("connection");
const EVERY_MS = 1000 * Number(live.dataset.every || 1);
const MOST_MS = 10000;

// --- what changed of the page

function sync(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open" && name !== "hidden") old.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes]) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

const keyOf = (node) => (node.nodeType === 1 ? node.dataset.key || node.id : "");

function fits(old, fresh) {
  return old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && keyOf(old) === keyOf(fresh);
}

// Changes `old` into `fresh`, keeping each element that stays: focus, what is open, and what was typed stay with it.
function morph(old, fresh) {
  if (old.nodeType !== 1) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if ("kept" in old.dataset) return;
  const same = old.tagName === "TIME" && old.dataset.at === fresh.dataset.at;
  sync(old, fresh);
  if (same || old.tagName === "INPUT") return;
  const children = [...fresh.childNodes];
  const wanted = new Set(children.map(keyOf));
  const keyed = new Map();
  for (const child of [...old.childNodes]) {
    if (!keyOf(child)) continue;
    if (wanted.has(keyOf(child))) keyed.set(keyOf(child), child);
    else child.remove();
  }
  let next = old.firstChild;
  for (const child of children) {
    const key = keyOf(child);
    const match = key ? keyed.get(key) : following(next, child);
    if (!match || !fits(match, child)) {
      old.insertBefore(child, next);
      continue;
    }
    if (key && match !== next) put(old, match, next);
    while (!key && next !== match) next = dropped(next);
    morph(match, child);
    next = match.nextSibling;
  }
  while (next) next = dropped(next);
}

// The first of the next nodes without a key that can become `fresh`.
function following(next, fresh) {
  let found = next;
  while (found && !keyOf(found) && !fits(found, fresh)) found = found.nextSibling;
  return found;
}

function dropped(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

// Where the browser can move a node as it is, what is open in it stays open.
function put(parent, node, before) {
  if (parent.moveBefore) parent.moveBefore(node, before);
  else parent.insertBefore(node, before);
}

let wait = EVERY_MS;

async function look() {
  if (document.hidden || "still" in live.dataset) return;
  try {
    const answer = await fetch(location.href, { headers: { "X-Live": live.dataset.digest }, cache: "no-store" });
    if (answer.status === 401) return location.reload();
    wait = EVERY_MS;
    connection.textContent = "live";
    connection.classList.remove("bad");
    if (answer.status === 200) {
      const fresh = document.createElement("main");
      fresh.innerHTML = await answer.text();
      const top = live.cloneNode(false);
      top.append(...fresh.childNodes);
      top.dataset.digest = answer.headers.get("X-Digest");
      morph(live, top);
      filter();
      tell();
      document.dispatchEvent(new Event("changed"));
    } else if (answer.status >= 400) {
      connection.textContent = "this is not there any more";
      connection.classList.add("bad");
      wait = MOST_MS;
    }
  } catch {
    connection.textContent = "the server is out of reach";
    connection.classList.add("bad");
    wait = Math.min(wait * 2, MOST_MS);
  }
}

async function follow() {
  for (;;) {
    await new Promise((done) => setTimeout(done, wait));
    await look();
  }
}

// --- times, as "3 min ago" or "in 2 h"

const UNITS = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

function ago(seconds) {
  const past = seconds >= 0;
  const whole = Math.round(Math.abs(seconds));
  if (whole < 2) return "now";
  const [size, unit] = UNITS.find(([least]) => whole >= least);
  const text = `${Math.floor(whole / size)} ${unit}`;
  return past ? `${text} ago` : `in ${text}`;
}

function tell() {
  const now = Date.now() / 1000;
  for (const time of document.querySelectorAll("time[data-at]")) {
    const at = Number(time.dataset.at);
    const text = ago(now - at);
    if (time.textContent !== text) time.textContent = text;
    if (!time.title) time.title = new Date(at * 1000).toLocaleString();
  }
  for (const time of document.querySelectorAll("time[data-tick]")) {
    const at = new Date(Number(time.dataset.tick) * 1000);
    const text =
      "day" in time.dataset
        ? at.toLocaleDateString([], { day: "numeric", month: "short" })
        : at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
    if (time.textContent !== text) time.textContent = text;
  }
}

// --- lines of logs, as they come

const MOST_LINES = 5000;

function clocks(from) {
  for (const time of from.querySelectorAll("time[data-clock]")) {
    const at = new Date(Number(time.dataset.clock) * 1000);
    time.textContent = at.toLocaleTimeString([], { hour12: false }) + "." + String(at.getMilliseconds()).padStart(3, "0");
    time.title = at.toLocaleString();
  }
}

async function followLog(log) {
  clocks(log);
  log.scrollTop = log.scrollHeight;
  while (!log.dataset.ended) {
    const asked = new URLSearchParams(location.search);
    asked.set("cursor", log.dataset.cursor);
    const address = (log.dataset.next || location.pathname.replace(/\/$/, "") + "/next") + "?" + asked;
    try {
      const answer = await fetch(address, { headers: { "X-Live": "" }, cache: "no-store" });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) throw new Error(answer.status);
      connection.textContent = "live";
      connection.classList.remove("bad");
      const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      const fresh = document.createElement("ol");
      fresh.innerHTML = await answer.text();
      clocks(fresh);
      log.append(...fresh.children);
      while (log.children.length > MOST_LINES) log.firstElementChild.remove();
      log.dataset.cursor = answer.headers.get("X-Cursor");
      if (answer.headers.get("X-Ended")) {
        log.dataset.ended = "1";
        const following = document.getElementById("following");
        if (following) following.textContent = "No more will come.";
      }
      if (atEnd) log.scrollTop = log.scrollHeight;
    } catch {
      connection.textContent = "the server is out of reach";
      connection.classList.add("bad");
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
}

document.addEventListener("change", (event) => {
  if (event.target.matches("form[data-now] select")) event.target.form.requestSubmit();
});

// --- filters, keys, and ids that are copied

function filter() {
  for (const input of document.querySelectorAll("input[data-filter]")) {
    const wanted = input.value.trim().toLowerCase();
    for (const row of document.querySelectorAll(input.dataset.filter)) {
      row.hidden = wanted !== "" && !row.dataset.row.toLowerCase().includes(wanted);
    }
  }
}

document.addEventListener("input", (event) => {
  if (event.target.matches("input[data-filter]")) filter();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.matches("input, textarea, select")) return;
  const search = document.querySelector("input[type=search]");
  if (!search) return;
  event.preventDefault();
  search.focus();
});

document.addEventListener("click", (event) => {
  const menu = document.querySelector("details.environments[open]");
  if (menu && !menu.contains(event.target)) menu.open = false;
});

document.addEventListener("visibilitychange", look);

tell();
setInterval(tell, 1000);
follow();
const log = document.getElementById("log");
if (log) followLog(log);
