// Helpers to show things. Text that comes from a store is only ever put in with textContent.

import { WrongToken } from "./calls.js";

export const $ = (id) => document.getElementById(id);

// What the page shows. `type` and `prefix`: the folder; `key`: the blob beside it, or null.
export const state = { types: [], type: "", prefix: "", key: null };

export function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", "#i-" + name);
  svg.append(use);
  return svg;
}

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes, unit = -1;
  do { value /= 1024; unit += 1; } while (value >= 1023.95 && unit < units.length - 1);
  return `${value < 99.95 ? value.toFixed(1) : value.toFixed(0)} ${units[unit]}`;
}

export function when(iso, long) {
  const date = new Date(iso);
  const text = date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: long ? "medium" : "short" });
  return make("time", { datetime: iso, title: date.toISOString() }, text);
}

export const last = (path) => path.replace(/\/$/, "").split("/").pop();
export const folderOf = (key) => key.slice(0, key.lastIndexOf("/") + 1);
export const address = (type, path) => "#/" + [type, ...path.split("/")].map(encodeURIComponent).join("/");

let saying;
export function say(text) {
  $("status").textContent = text;
  clearTimeout(saying);
  saying = setTimeout(() => { $("status").textContent = ""; }, 4000);
}

export function problem(error) {
  if (error instanceof WrongToken) {
    $("gate").hidden = false;
    for (const part of document.querySelectorAll("header, main, #skip")) part.hidden = true;
    return;
  }
  $("problem").textContent = error ? error.message : "";
  $("problem").hidden = !error;
}
