/** One hit in full. */

import { faceImage } from "./collection.js";
import { byId, make } from "./dom.js";
import { reasonsInFull, reasonsOf } from "./reasons.js";
import { nameInWords, number, spaceInWords } from "./words.js";

/** `onfind(id)`, `onlike(id, space)`, `onedit(id)`: each closes the dialog first. */
export function openDetails(hit, { query, wanted, spaces, onfind, onlike, onedit }) {
  const dialog = byId("details");
  const closing = (action) => () => {
    dialog.close();
    action();
  };
  const likes = spaces.map((space) =>
    make(
      "button",
      { type: "button", class: "small", onclick: closing(() => onlike(hit.id, space)) },
      spaceInWords(space, spaces),
    ),
  );
  dialog.replaceChildren(
    make(
      "div",
      { class: "row head" },
      make("h2", { id: "details-title" }, `Face ${hit.id}`),
      make("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => dialog.close() }, "×"),
    ),
    make(
      "div",
      { class: "details" },
      make(
        "div",
        { class: "stack" },
        faceImage(hit.id, `Face ${hit.id}`),
        make(
          "button",
          { type: "button", class: "main", onclick: closing(() => onfind(hit.id)) },
          "Look for faces like this",
        ),
        onedit && make("button", { type: "button", onclick: closing(() => onedit(hit.id)) }, "Edit this face"),
        make("p", { class: "hint" }, "Also like this face’s …"),
        make("div", { class: "row" }, likes),
      ),
      make(
        "div",
        { class: "stack" },
        make("p", {}, `Number ${hit.rank}, at distance ${number(hit.distance)}:`),
        make(
          "div",
          { class: "scroll", tabindex: 0, role: "region", "aria-label": "What makes the distance" },
          reasonsInFull(reasonsOf(hit, query, spaces), hit, wanted),
        ),
        labelList(hit.labels),
      ),
    ),
  );
  dialog.showModal();
}

function labelList(labels) {
  const told = Object.entries(labels).filter(([, value]) => value !== null);
  if (!told.length) return null;
  const items = told.flatMap(([name, value]) => [
    make("dt", {}, nameInWords(name)),
    make("dd", {}, typeof value === "number" ? number(value) : String(value)),
  ]);
  return make("details", {}, make("summary", {}, "Labels"), make("dl", { class: "labels" }, items));
}
