// Uploads: from the browser straight to the store, by signed requests.

import { sign } from "./calls.js";
import { showDetails } from "./details.js";
import { list } from "./listing.js";
import { $, make, say, size, state } from "./view.js";

const AT_ONCE = 3;
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

function next() {
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

// ---- files that are chosen, or dropped anywhere on the page -----------------------------------------------------------

const carriesFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files") && $("gate").hidden;
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
$("upload").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", (event) => { upload(event.target.files); event.target.value = ""; });
$("clear").addEventListener("click", () => {
  for (const row of [...$("queue").children]) if (row.className) row.remove();
  $("uploads").hidden = $("queue").children.length === 0;
});
