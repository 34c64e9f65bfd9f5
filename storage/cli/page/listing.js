// The listing of one folder: it comes in pages, is sorted here, folders first, and is shown some rows at a time.

import { call } from "./calls.js";
import { $, address, icon, last, make, problem, size, state, when } from "./view.js";

const ROWS = 1000; // that one more step shows
const MOST = 100000; // entries of one folder that are kept
export const TEXT_TYPES = /^(text\/|message\/|application\/(json|jsonl|xml|yaml|toml|sql|javascript|x-sh|x-ipynb\+json|.*\+(json|xml)))/;
export const IMAGE_TYPES = /^image\/(apng|avif|bmp|gif|jpeg|png|svg\+xml|webp|vnd\.microsoft\.icon)/;

let entries = []; // in the order of their names, as far as they have come
let next = null; // after which name the rest comes; null: all have come
let shown = 0;
let order = { by: "name", down: false };
let listing = 0; // which listing is the newest: answers to older ones are dropped
let loading = null; // the page that is on its way

// ---- what has come ---------------------------------------------------------------------------------------------------

export async function list() {
  const mine = ++listing;
  loading = null;
  try {
    const found = await call("list", { storage_type: state.type, prefix: state.prefix + $("begin").value });
    if (mine !== listing) return;
    problem(null);
    entries = found.entries.map(entryOf);
    next = found.next;
    shown = ROWS;
    if (!byName()) await loadAll();
    if (mine === listing) show();
  } catch (error) {
    if (mine === listing) problem(error);
  }
}

function entryOf(found) {
  if (typeof found === "string") return { path: found, folder: true, kind: "" };
  return { path: found.key, folder: false, size: found.size, kind: found.content_type || "", time: found.last_modified };
}

async function loadPage() {
  const mine = listing;
  const found = await call("list", { storage_type: state.type, prefix: state.prefix + $("begin").value, after: next });
  if (mine !== listing) return;
  entries.push(...found.entries.map(entryOf));
  next = found.next;
}

// Only one page is loaded at a time: a second call waits for the first.
function load() {
  loading = loading || loadPage().finally(() => { loading = null; });
  return loading;
}

async function loadAll() {
  const mine = listing;
  while (mine === listing && next !== null && entries.length < MOST) {
    $("note").textContent = `Loading: ${entries.length.toLocaleString()} entries so far …`;
    await load();
  }
}

// Shows more rows, after loading them where they have not come yet.
async function more() {
  const mine = listing;
  try {
    if (shown >= entries.length && next !== null && entries.length < MOST) await load();
    if (mine !== listing) return;
    shown += ROWS;
    show();
  } catch (error) {
    if (mine === listing) problem(error);
  }
}

// ---- order -----------------------------------------------------------------------------------------------------------

const byName = () => order.by === "name" && !order.down;

function sorted() {
  const turn = order.down ? -1 : 1;
  const compare = (a, b) => (a < b ? -turn : a > b ? turn : 0);
  const key = { name: (entry) => entry.path, size: (entry) => entry.size, time: (entry) => entry.time }[order.by];
  const folders = entries.filter((entry) => entry.folder);
  const blobs = entries.filter((entry) => !entry.folder);
  if (order.by === "name") folders.sort((a, b) => compare(a.path, b.path));
  // Equal sizes and times stay in the order of their names.
  blobs.sort((a, b) => compare(key(a), key(b)) || (a.path < b.path ? -1 : 1));
  return [...folders, ...blobs];
}

export async function sortBy(column) {
  // The first press shows what one looks for: the first names, the largest, the newest.
  order = { by: column, down: order.by === column ? !order.down : column !== "name" };
  const mine = listing;
  try {
    if (!byName()) await loadAll();
    if (mine === listing) { shown = ROWS; show(); }
  } catch (error) {
    if (mine === listing) problem(error);
  }
}

// ---- rows ------------------------------------------------------------------------------------------------------------

function show() {
  const all = sorted();
  $("rows").replaceChildren(...all.slice(0, shown).map((entry) => (entry.row = entry.row || row(entry))));
  $("listing").classList.toggle("empty", all.length === 0);
  for (const head of document.querySelectorAll("th[data-by]")) {
    head.setAttribute("aria-sort", head.dataset.by !== order.by ? "none" : order.down ? "descending" : "ascending");
  }
  $("more").hidden = shown >= all.length && (next === null || entries.length >= MOST);
  $("note").textContent = note(all.length);
  mark();
  watchEnd();
}

function note(count) {
  if (count === 0) return $("begin").value ? "No name here begins like that." : "Nothing here yet: drop files on the page to upload them.";
  if (next !== null && entries.length >= MOST) {
    return `These are the first ${count.toLocaleString()} entries by name; type how a name begins to see others.`;
  }
  return count > 20 ? `${count.toLocaleString()}${next === null ? "" : " or more"} entries` : "";
}

function row(entry) {
  const { path, folder, kind } = entry;
  const picture = folder ? "folder" : IMAGE_TYPES.test(kind) ? "image" : TEXT_TYPES.test(kind) ? "text" : "file";
  const name = last(path) + (folder ? "/" : "");
  return make("tr", { class: folder ? "folder" : "blob", "data-path": path },
    make("td", { class: "name" }, make("a", { href: address(state.type, path), title: name }, icon(picture), make("span", {}, name))),
    make("td", { class: "number" }, folder ? "" : size(entry.size)),
    make("td", { class: "kind", title: kind }, make("span", {}, folder ? "" : kind || "–")),
    make("td", { class: "when" }, folder ? "" : when(entry.time)));
}

// Marks the row of the blob that is shown beside the listing.
export function mark() {
  for (const element of $("rows").children) {
    if (element.dataset.path === state.key) element.setAttribute("aria-current", "true");
    else element.removeAttribute("aria-current");
  }
}

export const rowOf = (key) => [...$("rows").children].find((element) => element.dataset.path === key);

// ---- more on scroll --------------------------------------------------------------------------------------------------

const ending = new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) more(); }, { rootMargin: "800px" });

// An observer tells of changes alone, and the end may still be in sight after more rows were shown.
function watchEnd() {
  ending.disconnect();
  if (!$("more").hidden) ending.observe($("more"));
}

$("more").addEventListener("click", more);
for (const head of document.querySelectorAll("th[data-by]")) {
  head.querySelector("button").addEventListener("click", () => sortBy(head.dataset.by));
}
let typing;
$("begin").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(list, 150); });
$("reload").addEventListener("click", list);
