// One blob, beside the listing: preview, facts, download, signed URL, delete. On a narrow screen it is a sheet over the listing.

import { call, reach, sign } from "./calls.js";
import { IMAGE_TYPES, TEXT_TYPES, list, rowOf } from "./listing.js";
import { $, address, icon, last, make, problem, say, size, state, when } from "./view.js";

const TEXT_BYTES = 64 * 1024;
const IMAGE_BYTES = 32 * 1024 * 1024;
const EXPIRIES = [[300, "5 minutes"], [3600, "1 hour"], [86400, "1 day"], [604800, "7 days"]];
const NARROW = matchMedia("(max-width: 900px)");

let newest = 0; // which blob is the newest: answers about older ones are dropped

export async function showDetails() {
  const mine = ++newest;
  const { type, key } = state;
  if (key === null) {
    fill();
    return;
  }
  let info;
  try {
    info = await call("info", { storage_type: type, key });
  } catch (error) {
    if (mine !== newest) return;
    if (error.status === 404) fill(title(key), make("p", { class: "missing" }, `There is no blob ${key} of type ${type}. It was deleted, or the link is wrong.`));
    else { fill(); problem(error); }
    return;
  }
  if (mine !== newest) return;
  const preview = make("div", { class: "preview", hidden: true });
  fill(title(key), preview, share(type, key), facts(info),
    make("button", { type: "button", class: "plain danger", id: "delete", click: () => ask(type, info) }, icon("delete"), "Delete"));
  await showPreview(type, info, preview).catch((error) => {
    preview.replaceChildren(make("p", {}, `No preview: ${error.message}`));
    preview.hidden = false;
  });
}

// ---- the panel, or the sheet -----------------------------------------------------------------------------------------

function fill(...children) {
  const opened = $("details").hidden && children.length > 0;
  $("details").replaceChildren(...children);
  $("details").hidden = children.length === 0;
  lay();
  if (opened && NARROW.matches) $("close").focus({ preventScroll: true });
}

// As a sheet it lies over the rest, which can then neither be reached nor scrolled.
function lay() {
  const sheet = NARROW.matches && !$("details").hidden;
  $("shade").hidden = !sheet;
  document.body.classList.toggle("held", sheet);
  for (const part of document.querySelectorAll("#skip, header, .tools, #listing, #uploads")) part.inert = sheet;
  if (sheet) { $("details").setAttribute("role", "dialog"); $("details").setAttribute("aria-modal", "true"); }
  else { $("details").removeAttribute("role"); $("details").removeAttribute("aria-modal"); }
}

function title(key) {
  return make("div", { class: "title" }, make("h2", { id: "name" }, last(key)),
    make("button", { type: "button", class: "plain", id: "close", click: close, title: "Close (Escape)" }, icon("close"), make("span", { class: "only-read" }, "Close")));
}

export function close() {
  const key = state.key;
  location.hash = address(state.type, state.prefix);
  fill();
  const shown = rowOf(key);
  if (shown) shown.querySelector("a").focus({ preventScroll: NARROW.matches });
}

function facts(info) {
  const rows = [["Key", info.key, true], ["Size", `${size(info.size)}${info.size < 1024 ? "" : ` (${info.size.toLocaleString()} bytes)`}`],
    ["Type", info.content_type || "–"], ["Modified", when(info.last_modified, true)], ["ETag", info.etag, true]];
  if (info.cache_control) rows.push(["Cache-Control", info.cache_control]);
  if (info.content_encoding) rows.push(["Content-Encoding", info.content_encoding]);
  for (const [name, value] of Object.entries(info.metadata || {})) rows.push([name, value]);
  return make("dl", {}, ...rows.flatMap(([name, value, code]) => [make("dt", {}, name), make("dd", { class: code ? "code" : null }, value)]));
}

function share(type, key) {
  const expiry = make("select", { "aria-label": "The URL works for", id: "expiry" },
    ...EXPIRIES.map(([seconds, text]) => make("option", { value: seconds, selected: seconds === 3600 }, text)));
  const link = make("input", { type: "text", readonly: true, class: "wide", id: "link", hidden: true, "aria-label": "Signed URL" });
  return make("div", { class: "share" },
    make("button", { type: "button", class: "primary wide", id: "download", click: () => download(type, key) }, icon("download"), "Download"),
    expiry,
    make("button", { type: "button", id: "copy", click: () => copyURL(type, key, Number(expiry.value), link) }, icon("link"), "Copy signed URL"),
    link);
}

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

// ---- what can be done with it ----------------------------------------------------------------------------------------

async function download(type, key) {
  try {
    const { url } = await sign(type, key, "GET", { expires_in: 300, download_name: last(key) });
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

// Deletes the very version that is shown, after a question.
function ask(type, info) {
  $("ask-what").textContent = `Delete ${info.key}?`;
  $("ask-no").onclick = () => $("ask").close();
  $("ask-yes").onclick = async () => {
    $("ask").close();
    try {
      await call("delete", { storage_type: type, key: info.key, etag: info.etag });
      say(`${last(info.key)} is deleted.`);
      if (state.type === type && state.key === info.key) close();
      await list();
    } catch (error) {
      problem(error);
    }
  };
  $("ask").showModal();
  $("ask-no").focus();
}

NARROW.addEventListener("change", lay);
$("shade").addEventListener("click", close);
addEventListener("keydown", (event) => { if (event.key === "Escape" && state.key !== null && !$("ask").open) close(); });
