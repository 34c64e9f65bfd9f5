// The page of `storage serve --browse`. Text that comes from a store is only ever put in with textContent.
"use strict";

const TEXT_BYTES = 64 * 1024;
const IMAGE_BYTES = 32 * 1024 * 1024;
const AT_ONCE = 3;
const EXPIRIES = [[300, "5 minutes"], [3600, "1 hour"], [86400, "1 day"], [604800, "7 days"]];
const TEXT_TYPES = /^(text\/|message\/|application\/(json|jsonl|xml|yaml|toml|sql|javascript|x-sh|x-ipynb\+json|.*\+(json|xml)))/;
const IMAGE_TYPES = /^image\/(apng|avif|bmp|gif|jpeg|png|svg\+xml|webp|vnd\.microsoft\.icon)/;

const $ = (id) => document.getElementById(id);
const state = { types: [], type: "", prefix: "", key: null, listing: 0, details: 0 };

// ---- calls ----------------------------------------------------------------------------------------------------------

// The token comes in the fragment, which no browser sends; it is kept for this tab alone, and taken out of the address bar.
function takeToken() {
  const match = location.hash.match(/^#token=([\w-]+)$/);
  if (match) {
    sessionStorage.setItem("storage-token", match[1]);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("storage-token") || "";
}

let token = takeToken();

async function call(name, args) {
  let answer;
  try {
    answer = await fetch("/-/" + name, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Storage-Token": token },
      body: JSON.stringify(args || {}),
    });
  } catch {
    throw new Error("The server does not answer; is storage serve still running?");
  }
  const result = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(result.error || `The server answered ${answer.status}.`);
  return result;
}

// ---- small helpers --------------------------------------------------------------------------------------------------

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", "#i-" + name);
  svg.append(use);
  return svg;
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes, unit = -1;
  do { value /= 1024; unit += 1; } while (value >= 1023.95 && unit < units.length - 1);
  return `${value < 99.95 ? value.toFixed(1) : value.toFixed(0)} ${units[unit]}`;
}

function when(iso, long) {
  const date = new Date(iso);
  const narrow = matchMedia("(max-width: 640px)").matches && !long;
  const text = date.toLocaleString(undefined, long ? { dateStyle: "medium", timeStyle: "medium" }
    : narrow ? { dateStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
  return make("time", { datetime: iso, title: date.toISOString() }, text);
}

const last = (path) => path.replace(/\/$/, "").split("/").pop();
const folderOf = (key) => key.slice(0, key.lastIndexOf("/") + 1);
const address = (type, path) => "#/" + [type, ...path.split("/")].map(encodeURIComponent).join("/");

let saying;
function say(text) {
  $("status").textContent = text;
  clearTimeout(saying);
  saying = setTimeout(() => { $("status").textContent = ""; }, 4000);
}

function problem(error) {
  $("problem").textContent = error ? error.message : "";
  $("problem").hidden = !error;
}

// ---- where we are ---------------------------------------------------------------------------------------------------

async function follow() {
  let parts = location.hash.startsWith("#/") ? location.hash.slice(2).split("/") : [];
  try { parts = parts.map(decodeURIComponent); } catch { parts = []; }
  const type = state.types.includes(parts[0]) ? parts[0] : state.types[0];
  const path = parts.slice(1).join("/");
  const prefix = folderOf(path);
  const moved = type !== state.type || prefix !== state.prefix;
  if (moved) $("begin").value = "";
  Object.assign(state, { type, prefix, key: path && !path.endsWith("/") ? path : null });
  showPlace();
  await Promise.all([moved ? list() : mark(), showDetails()]);
}

function showPlace() {
  $("types").replaceChildren(...state.types.map((type) =>
    make("a", { href: address(type, ""), "aria-current": type === state.type ? "page" : null }, type)));
  const parts = state.prefix.split("/").slice(0, -1);
  const crumbs = [make("a", { href: address(state.type, "") }, state.type)];
  parts.forEach((part, index) => {
    crumbs.push(make("i", { "aria-hidden": "true" }, "/"));
    crumbs.push(make("a", { href: address(state.type, parts.slice(0, index + 1).join("/") + "/") }, part));
  });
  crumbs[crumbs.length - 1].setAttribute("aria-current", "location");
  $("crumbs").replaceChildren(...crumbs);
  document.title = `${state.prefix || state.type} – storage`;
}

// ---- the listing ----------------------------------------------------------------------------------------------------

async function list() {
  const mine = ++state.listing;
  const prefix = state.prefix + $("begin").value;
  try {
    const found = await call("list", { storage_type: state.type, prefix });
    if (mine !== state.listing) return;
    problem(null);
    $("rows").replaceChildren(...found.entries.map(row));
    $("listing").classList.toggle("empty", found.entries.length === 0);
    $("note").textContent = found.more
      ? `These are the first ${found.entries.length.toLocaleString()}; type how a name begins to see others.`
      : found.entries.length ? "" : $("begin").value ? "No name here begins like that." : "Nothing here yet: drop files on the page to upload them.";
    mark();
  } catch (error) {
    if (mine === state.listing) problem(error);
  }
}

function row(entry) {
  const folder = typeof entry === "string";
  const path = folder ? entry : entry.key;
  const kind = folder ? "" : entry.content_type || "";
  const picture = folder ? "folder" : IMAGE_TYPES.test(kind) ? "image" : TEXT_TYPES.test(kind) ? "text" : "file";
  const name = last(path) + (folder ? "/" : "");
  return make("tr", { class: folder ? "folder" : "blob", "data-path": path },
    make("td", {}, make("a", { href: address(state.type, path), title: name }, icon(picture), make("span", {}, name))),
    make("td", { class: "number" }, folder ? "" : size(entry.size)),
    make("td", { class: "kind", title: kind }, folder ? "" : kind || "–"),
    make("td", { class: "when" }, folder ? "" : when(entry.last_modified)));
}

function mark() {
  for (const element of $("rows").children) {
    if (element.dataset.path === state.key) element.setAttribute("aria-current", "true");
    else element.removeAttribute("aria-current");
  }
}

// ---- one blob -------------------------------------------------------------------------------------------------------

async function showDetails() {
  const mine = ++state.details;
  const box = $("details");
  const { type, key } = state;
  if (key === null) {
    box.hidden = true;
    box.replaceChildren();
    return;
  }
  let info;
  try {
    info = await call("info", { storage_type: type, key });
  } catch (error) {
    if (mine !== state.details) return;
    box.hidden = true;
    problem(error);
    return;
  }
  if (mine !== state.details) return;
  const preview = make("div", { class: "preview", hidden: true });
  const expiry = make("select", { "aria-label": "The URL works for", id: "expiry" },
    ...EXPIRIES.map(([seconds, text]) => make("option", { value: seconds, selected: seconds === 3600 }, text)));
  const link = make("input", { type: "text", readonly: true, class: "wide", id: "link", hidden: true, "aria-label": "Signed URL" });
  const facts = [["Key", key, true], ["Size", `${size(info.size)}${info.size < 1024 ? "" : ` (${info.size.toLocaleString()} bytes)`}`],
    ["Type", info.content_type || "–"], ["Modified", when(info.last_modified, true)], ["ETag", info.etag, true]];
  if (info.cache_control) facts.push(["Cache-Control", info.cache_control]);
  if (info.content_encoding) facts.push(["Content-Encoding", info.content_encoding]);
  for (const [name, value] of Object.entries(info.metadata || {})) facts.push([name, value]);
  box.replaceChildren(
    make("div", { class: "title" }, make("h2", { id: "name" }, last(key)),
      make("button", { type: "button", class: "plain", id: "close", click: close, title: "Close (Escape)" }, icon("close"), make("span", { class: "only-read" }, "Close"))),
    preview,
    make("div", { class: "share" },
      make("button", { type: "button", class: "primary wide", id: "download", click: () => download(type, key) }, icon("download"), "Download"),
      expiry,
      make("button", { type: "button", id: "copy", click: () => copyURL(type, key, Number(expiry.value), link) }, icon("link"), "Copy signed URL"),
      link),
    make("dl", {}, ...facts.flatMap(([name, value, code]) => [make("dt", {}, name), make("dd", { class: code ? "code" : null }, value)])));
  box.hidden = false;
  // On a narrow screen the details stand above the listing.
  if (matchMedia("(max-width: 900px)").matches) box.scrollIntoView({ block: "start" });
  await showPreview(type, info, preview).catch((error) => {
    preview.replaceChildren(make("p", {}, `No preview: ${error.message}`));
    preview.hidden = false;
  });
}

function close() {
  const key = state.key;
  location.hash = address(state.type, state.prefix);
  const shown = [...$("rows").children].find((element) => element.dataset.path === key);
  if (shown) shown.querySelector("a").focus();
}

const sign = (type, key, method, options) => call("sign", { storage_type: type, key, method, ...options });

async function showPreview(type, info, box) {
  const kind = info.content_type || "";
  if (IMAGE_TYPES.test(kind) && info.size <= IMAGE_BYTES && info.size > 0) {
    const { url } = await sign(type, info.key, "GET", { expires_in: 300 });
    const image = make("img", { src: url, alt: last(info.key), referrerpolicy: "no-referrer" });
    image.addEventListener("error", () => box.replaceChildren(make("p", {}, "No preview: the browser cannot show this picture.")));
    box.replaceChildren(image);
    box.hidden = false;
  } else if (TEXT_TYPES.test(kind) && !info.content_encoding) {
    let text = "";
    if (info.size > 0) {
      const { url } = await sign(type, info.key, "GET", { expires_in: 300 });
      const answer = await reach(() => fetch(url, { headers: { Range: `bytes=0-${TEXT_BYTES - 1}` }, referrerPolicy: "no-referrer" }));
      if (!answer.ok) throw new Error(`the store answered ${answer.status}`);
      text = new TextDecoder().decode(await answer.arrayBuffer());
    }
    const pre = make("pre", { tabindex: "0", "aria-label": "Preview" });
    pre.textContent = text;
    box.replaceChildren(text ? pre : make("p", {}, "The blob is empty."));
    if (info.size > TEXT_BYTES) box.append(make("p", {}, `The first ${size(TEXT_BYTES)} of ${size(info.size)}.`));
    box.hidden = false;
  }
}

// What a browser says where a bucket does not answer its preflight is "Failed to fetch" and nothing else.
async function reach(request) {
  try {
    return await request();
  } catch {
    throw new Error(`the store cannot be reached from this page; if it is a bucket, run setup(cors_origins=["${location.origin}"]) once`);
  }
}

// RFC 6266: a name in ASCII, and the real one beside it.
function attachment(name) {
  const plain = name.replace(/[^\x20-\x7e]|["\\%]/g, "_");
  const real = encodeURIComponent(name).replace(/['()*]/g, (char) => "%" + char.charCodeAt(0).toString(16).toUpperCase());
  const whole = `attachment; filename="${plain}"; filename*=UTF-8''${real}`;
  return whole.length <= 1024 ? whole : `attachment; filename="${plain.slice(-200)}"`;
}

async function download(type, key) {
  try {
    const { url } = await sign(type, key, "GET", { expires_in: 300, content_disposition: attachment(last(key)) });
    const anchor = make("a", { href: url, download: last(key), rel: "noreferrer", hidden: true });
    document.body.append(anchor);
    anchor.click();
    anchor.remove();
  } catch (error) {
    problem(error);
  }
}

async function copyURL(type, key, seconds, link) {
  try {
    const { url } = await sign(type, key, "GET", { expires_in: seconds });
    link.value = url;
    link.hidden = false;
    try {
      await navigator.clipboard.writeText(url);
      say("Copied. Whoever has this URL can read the blob until it expires.");
    } catch {
      link.select();
      say("The URL is selected; copy it with the keyboard.");
    }
  } catch (error) {
    problem(error);
  }
}

// ---- uploads: from the browser straight to the store ----------------------------------------------------------------

const waiting = [];
let running = 0;

function upload(files) {
  for (const file of files) {
    const item = { file, type: state.type, key: state.prefix + file.name, overwrite: $("replace").checked };
    item.bar = make("progress", { max: 1, value: 0, "aria-label": `Upload of ${file.name}` });
    item.text = make("span", { class: "state" }, "waiting");
    item.button = make("button", { type: "button", class: "plain small" }, "Cancel");
    item.row = make("li", { "data-key": item.key }, make("span", { class: "name", title: item.key }, file.name), item.bar, item.text, item.button);
    $("queue").append(item.row);
    enqueue(item);
  }
  $("uploads").hidden = $("queue").children.length === 0;
}

function enqueue(item) {
  item.row.className = "";
  item.text.textContent = "waiting";
  item.cancelled = false;
  item.button.textContent = "Cancel";
  item.button.onclick = () => { item.cancelled = true; if (item.request) item.request.abort(); else end(item, "failed", "cancelled"); };
  waiting.push(item);
  next();
}

function end(item, outcome, text) {
  item.request = null;
  item.row.className = outcome;
  item.text.textContent = text;
  if (outcome === "failed") {
    item.button.textContent = text.startsWith("exists") ? "Replace" : "Try again";
    item.button.onclick = () => { item.overwrite = item.overwrite || text.startsWith("exists"); enqueue(item); };
  }
}

async function next() {
  while (running < AT_ONCE && waiting.length) {
    const item = waiting.shift();
    if (item.cancelled) continue;
    running += 1;
    send(item).then(
      () => { end(item, "done", "done"); say(`${item.file.name} is stored.`); },
      (error) => { end(item, "failed", error.message); say(`${item.file.name}: ${error.message}`); },
    ).then(() => {
      running -= 1;
      if (item.type === state.type && item.key.startsWith(state.prefix) && item.row.className === "done") {
        list();
        if (item.key === state.key) showDetails();
      }
      next();
    });
  }
}

async function send(item) {
  const options = { overwrite: item.overwrite };
  if (/^[\x20-\x7e]{1,1024}$/.test(item.file.type)) options.content_type = item.file.type;
  const signed = await sign(item.type, item.key, "PUT", options);
  if (item.cancelled) throw new Error("cancelled");
  await new Promise((resolve, reject) => {
    const request = item.request = new XMLHttpRequest();
    request.open(signed.method, signed.url);
    for (const [name, value] of Object.entries(signed.headers)) {
      if (name.toLowerCase() !== "content-length") request.setRequestHeader(name, value); // the browser sends that itself
    }
    request.upload.onprogress = (event) => {
      item.bar.value = event.total ? event.loaded / event.total : 0;
      item.text.textContent = `${Math.floor(100 * item.bar.value)} % of ${size(item.file.size)}`;
    };
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) { item.bar.value = 1; resolve(); }
      else if (request.status === 412) reject(new Error("exists already"));
      else reject(new Error(`refused with ${request.status}`));
    };
    request.onabort = () => reject(new Error("cancelled"));
    request.onerror = () => reject(new Error(new URL(signed.url).origin === location.origin ? "the connection broke"
      : `the store refused the browser; run setup(cors_origins=["${location.origin}"]) once`));
    request.send(item.file);
  });
}

// ---- events ---------------------------------------------------------------------------------------------------------

const carriesFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
let over = 0;

addEventListener("dragenter", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  over += 1;
  $("drop-text").textContent = `Drop to upload to ${state.type}/${state.prefix}`;
  $("drop").hidden = false;
});
addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
addEventListener("dragleave", (event) => {
  if (!carriesFiles(event)) return;
  over -= 1;
  if (over <= 0) { over = 0; $("drop").hidden = true; }
});
addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  over = 0;
  $("drop").hidden = true;
  upload(event.dataTransfer.files);
});
addEventListener("keydown", (event) => { if (event.key === "Escape" && state.key !== null) close(); });
addEventListener("hashchange", () => {
  if (location.hash.startsWith("#token=")) { token = takeToken(); start(); }
  else if (location.hash.startsWith("#/") || location.hash === "") follow();
});

async function start() {
  try {
    const store = await call("store");
    state.types = store.types;
    state.type = "";
    $("where").textContent = store.url;
    await follow();
  } catch (error) {
    problem(error);
  }
}

let typing;
$("begin").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(list, 150); });
$("reload").addEventListener("click", list);
$("upload").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", (event) => { upload(event.target.files); event.target.value = ""; });
$("clear").addEventListener("click", () => {
  for (const row of [...$("queue").children]) if (row.className) row.remove();
  $("uploads").hidden = $("queue").children.length === 0;
});
$("skip").addEventListener("click", (event) => { event.preventDefault(); $("listing").focus(); });
start();
