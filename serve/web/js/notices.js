/** What went wrong, said where the faces are, until it is right again. */

import { keepToken } from "./api.js";
import { byId, make } from "./dom.js";

const FORBIDDEN = [401, 403];
const MAY_PASS = [0, 408, 409, 429];

/**
 * One notice for each `place`: a new one takes the place of the old one. What another place says already is not said
 * twice. `retry`: a function, offered where the same question may be answered another time.
 */
export function showProblem(place, problem, retry = null) {
  clearProblem(place);
  const words = inSentences(problem);
  if ([...byId("notices").children].some((notice) => notice.dataset.words === words)) return;
  const mayPass = MAY_PASS.includes(problem.status) || problem.status >= 500;
  const again =
    retry &&
    mayPass &&
    make(
      "button",
      {
        type: "button",
        onclick: () => {
          clearProblem(place);
          retry();
        },
      },
      "Try again",
    );
  const key =
    FORBIDDEN.includes(problem.status) &&
    make("button", { type: "button", onclick: () => askForToken(retry) }, "Enter a token");
  byId("notices").append(
    make(
      "div",
      { class: "notice", "data-place": place, "data-words": words },
      make(
        "p",
        {},
        make("strong", {}, inSentences({ title: problem.title })),
        words.slice(inSentences({ title: problem.title }).length),
      ),
      make("div", { class: "row" }, key, again, closing(place)),
    ),
  );
}

export function clearProblem(place) {
  byId("notices").querySelector(`[data-place="${place}"]`)?.remove();
}

/** Says something to those who do not see it. */
export function say(words) {
  byId("status").textContent = words;
}

function closing(place) {
  return make(
    "button",
    { type: "button", class: "quiet", "aria-label": "Close this message", onclick: () => clearProblem(place) },
    "×",
  );
}

function inSentences({ title, detail }) {
  const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
  return [title, detail].filter(Boolean).map(sentence).join(" ");
}

function askForToken(then) {
  const dialog = byId("token");
  const field = make("input", { type: "password", id: "token-field", autocomplete: "off", required: true });
  const keep = (event) => {
    event.preventDefault();
    keepToken(field.value.trim());
    dialog.close();
    if (then) then();
    else location.reload();
  };
  dialog.replaceChildren(
    make(
      "form",
      { class: "stack", onsubmit: keep },
      make("h2", { id: "token-title" }, "This server asks who you are"),
      make("label", { for: "token-field" }, "Token"),
      field,
      make("p", { class: "hint" }, "It is kept until this tab is closed."),
      make(
        "div",
        { class: "row end" },
        make("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Cancel"),
        make("button", { class: "main" }, "Continue"),
      ),
    ),
  );
  dialog.showModal();
}
