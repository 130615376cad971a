/** The server under /v1. Every failure is a `Problem`, whatever went wrong. */

const TOKEN = "raypipe-token";
const RETRIES = 2;
const LONGEST_WAIT_S = 5;

/** What went wrong, in words for people (RFC 9457). `status` 0: the server did not answer at all. */
export class Problem extends Error {
  constructor({ status = 0, title = "Something went wrong", detail = "", retryAfter = null } = {}) {
    super(detail || title);
    Object.assign(this, { status, title, detail, retryAfter });
  }
}

export function keepToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

function authorisation() {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { authorization: `Bearer ${token}` } : {};
}

/** What is served: methods, spaces and the index, three answers in one. */
export async function describe() {
  const [methods, spaces, index] = await Promise.all(["methods", "spaces", "index"].map(getJson));
  return { ...methods, ...spaces, ...index };
}

/** A page of hits. `question`: see query.js; `signal` ends the waiting. */
export async function search(question, signal) {
  return (await post("search", question, signal)).json();
}

/** The codes of a face, and how much it has of each attribute, by method. */
export async function encode(question, signal) {
  return (await post("encode", question, signal)).json();
}

/** The edited face, a Blob. */
export async function edit(question, signal) {
  return (await post("edit", question, signal)).blob();
}

/** A face with features of others, a Blob. */
export async function transfer(question, signal) {
  return (await post("transfer", question, signal)).blob();
}

/** A face as a member of a domain, a Blob. */
export async function translate(question, signal) {
  return (await post("translate", question, signal)).blob();
}

/** A face of the collection for `showPicture`: its address, or, with a token, which an <img> cannot send, a Blob. */
export async function imageSource(id) {
  const address = `v1/images/${encodeURIComponent(id)}`;
  if (!sessionStorage.getItem(TOKEN)) return address;
  return (await answered(address)).blob();
}

async function getJson(path) {
  return (await answered(`v1/${path}`)).json();
}

/** `question`: {body, files}; with files as multipart/form-data, part "query" and the files' own parts. */
async function post(path, { body, files = {} }, signal) {
  const json = JSON.stringify(body);
  if (!Object.keys(files).length) {
    return answered(`v1/${path}`, {
      method: "POST",
      body: json,
      signal,
      headers: { "content-type": "application/json" },
    });
  }
  const form = new FormData();
  form.set("query", json);
  for (const [name, file] of Object.entries(files)) form.set(name, file, file.name ?? name);
  return answered(`v1/${path}`, { method: "POST", body: form, signal });
}

/** A server that is busy says when to ask again, and is asked again. */
async function answered(address, options = {}, tries = RETRIES) {
  const response = await fetched(address, options);
  if (response.ok) return response;
  const problem = await problemOf(response);
  const isBusy = problem.status === 429 || problem.status === 503;
  if (!isBusy || tries === 0 || problem.retryAfter === null || problem.retryAfter > LONGEST_WAIT_S) throw problem;
  await new Promise((resume) => setTimeout(resume, 1000 * problem.retryAfter));
  options.signal?.throwIfAborted();
  return answered(address, options, tries - 1);
}

async function fetched(address, options) {
  try {
    return await fetch(address, { ...options, headers: { ...options.headers, ...authorisation() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      title: "The server does not answer",
      detail: "It may have been stopped, or the connection was lost.",
    });
  }
}

async function problemOf(response) {
  const wait = Number.parseInt(response.headers.get("retry-after"), 10);
  const told = { status: response.status, retryAfter: Number.isNaN(wait) ? null : wait };
  if (!response.headers.get("content-type")?.includes("json")) {
    return new Problem({ ...told, title: response.statusText || `Answer ${response.status}` });
  }
  const { title, detail } = await response.json();
  return new Problem({ ...told, title: title ?? `Answer ${response.status}`, detail: detail ?? "" });
}
