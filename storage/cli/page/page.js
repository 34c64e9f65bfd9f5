// The page of `storage serve --browse`: where one is, and how one gets there. The address holds it after the #.

import { call, takeToken } from "./calls.js";
import { showDetails } from "./details.js";
import { list, mark } from "./listing.js";
import "./uploads.js";
import { $, address, folderOf, make, problem, state } from "./view.js";

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

async function start() {
  takeToken();
  try {
    const store = await call("store");
    $("gate").hidden = true;
    for (const part of document.querySelectorAll("header, main, #skip")) part.hidden = false;
    Object.assign(state, { types: store.types, type: "" });
    $("where").textContent = store.url;
    await follow();
  } catch (error) {
    problem(error);
  }
}

addEventListener("hashchange", () => {
  if (location.hash.startsWith("#token=")) start();
  else if (location.hash.startsWith("#/") || location.hash === "") follow();
});
$("skip").addEventListener("click", (event) => { event.preventDefault(); $("listing").focus(); });
start();
