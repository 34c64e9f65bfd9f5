// Calls to the server of this page, which all carry the token.

const KEPT = "storage-token";

// The token comes in the fragment, which no browser sends. It is kept for this tab alone, and taken out of the address bar.
export function takeToken() {
  const match = location.hash.match(/^#token=([\w-]+)$/);
  if (match) {
    sessionStorage.setItem(KEPT, match[1]);
    history.replaceState(null, "", location.pathname);
  }
  token = sessionStorage.getItem(KEPT) || "";
}

let token = "";

// The server does not know this token: nothing works until the page is opened by the right URL.
export class WrongToken extends Error {}

export async function call(name, args) {
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
  if (answer.ok) return result;
  const error = new (answer.status === 401 ? WrongToken : Error)(result.error || `The server answered ${answer.status}.`);
  error.status = answer.status;
  throw error;
}

export const sign = (type, key, method, options) => call("sign", { storage_type: type, key, method, ...options });

// Where a bucket does not answer its preflight, a browser says "Failed to fetch" and nothing else.
export async function reach(request) {
  try {
    return await request();
  } catch {
    throw new Error(`the store cannot be reached from this page; if it is a bucket, run setup(cors_origins=["${location.origin}"]) once`);
  }
}
