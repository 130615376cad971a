/** Faces of the collection to choose from. */

import { imageSource } from "./api.js";
import { byId, make, showPicture } from "./dom.js";
import { smallerPicture } from "./smaller_picture.js";

const AT_ONCE = 24;

/** What is shown where faces will be, before there is one to ask about; who chooses goes on there. */
export function welcome({ title, words, examples, onchoose }) {
  const choose = (id) => {
    onchoose(id);
    byId("stage").focus({ preventScroll: true });
  };
  return make(
    "div",
    { class: "stack welcome" },
    make("h2", {}, title),
    words && make("p", {}, words),
    faceChoice(examples, choose),
  );
}

/** A grid of some faces with a button for others; `onchoose(id)`. */
function faceChoice(examples, onchoose) {
  let start = 0;
  const grid = make("ul", { class: "choice" });
  const show = () => {
    const ids = Array.from(
      { length: Math.min(AT_ONCE, examples.length) },
      (_, i) => examples[(start + i) % examples.length],
    );
    grid.replaceChildren(...ids.map((id) => make("li", {}, faceButton(id, onchoose))));
    start = (start + AT_ONCE) % Math.max(examples.length, 1);
  };
  show();
  const others = examples.length > AT_ONCE && make("button", { type: "button", onclick: show }, "Show others");
  return make("div", { class: "stack" }, grid, make("div", { class: "row" }, others, idForm(onchoose)));
}

/** Opens the dialog. `onfile(file)`: a picture of one's own will do, too. */
export function openCollection(examples, onchoose, onfile = null) {
  const dialog = byId("collection");
  const closing = (action) => (chosen) => {
    dialog.close();
    action(chosen);
  };
  dialog.replaceChildren(
    make(
      "div",
      { class: "row head" },
      make("h2", { id: "collection-title" }, "Choose a face"),
      make("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => dialog.close() }, "×"),
    ),
    make("div", { class: "stack" }, onfile && ownPicture(closing(onfile)), faceChoice(examples, closing(onchoose))),
  );
  dialog.showModal();
}

/** Opens the dialog for a face of the collection or a picture of one's own; `onchoose(face)`: see query.js. */
export function chooseFace(examples, onchoose) {
  openCollection(
    examples,
    (id) => onchoose({ id }),
    async (file) => onchoose({ file: await smallerPicture(file), name: file.name }),
  );
}

/** An <img> of a face that was chosen. */
export function chosenImage({ id, file }) {
  if (!file) return faceImage(id, "");
  const image = make("img", { alt: "", width: 128, height: 128 });
  showPicture(image, file);
  return image;
}

/** An <img> of a face of the collection. */
export function faceImage(id, alt) {
  const image = make("img", { alt, loading: "lazy", decoding: "async", width: 128, height: 128 });
  const miss = () => image.classList.add("missing");
  image.addEventListener("error", miss);
  imageSource(id).then((source) => showPicture(image, source), miss);
  return image;
}

function ownPicture(onfile) {
  const take = ({ target }) => target.files[0] && onfile(target.files[0]);
  const input = make("input", { type: "file", accept: "image/*", hidden: true, onchange: take });
  const open = () => input.click();
  return make(
    "div",
    { class: "row" },
    make("button", { type: "button", onclick: open }, "A picture of your own"),
    input,
  );
}

function faceButton(id, onchoose) {
  return make(
    "button",
    { type: "button", class: "face-button", onclick: () => onchoose(id) },
    faceImage(id, `Face ${id}`),
  );
}

function idForm(onchoose) {
  const field = make("input", {
    type: "text",
    placeholder: "or an id",
    "aria-label": "Id of a face",
    autocomplete: "off",
    required: true,
  });
  const choose = (event) => {
    event.preventDefault();
    onchoose(field.value.trim());
  };
  return make("form", { class: "row", onsubmit: choose }, field, make("button", {}, "Take it"));
}
