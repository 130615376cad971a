/** The face that everything is about: dropped, pasted, opened, or taken from the collection. */

import { imageSource } from "./api.js";
import { openCollection } from "./collection.js";
import { byId, showPicture } from "./dom.js";
import { smallerPicture } from "./smaller_picture.js";

export class FaceCard {
  #state;

  /** `examples`: ids of the collection to choose from. */
  constructor(state, examples) {
    this.#state = state;
    byId("choose").addEventListener("click", () => openCollection(examples, (id) => this.take({ id })));
    byId("forget").addEventListener("click", () => this.take(null));
    byId("file").addEventListener("change", (event) => this.#takeFile(event.target.files[0]));
    document.addEventListener("paste", (event) => this.#takeFile(event.clipboardData.files[0]));
    byId("face-picture").addEventListener("error", () => this.#showNoPicture());
    this.#listenToDrops();
    state.addEventListener("change", ({ detail: { before } }) => before.face !== state.now.face && this.show());
    this.show();
    this.#takeFile(byId("file").files[0]); // of whoever was faster than the server told what it serves
  }

  /** `face`: see query.js. */
  take(face) {
    this.#state.change({ face });
  }

  async show() {
    const { face } = this.#state.now;
    const picture = byId("face-picture");
    byId("forget").hidden = picture.hidden = !face;
    byId("drop-words").hidden = Boolean(face);
    byId("drop").classList.toggle("full", Boolean(face));
    byId("face-name").hidden = !face;
    byId("face-name").textContent = face?.id ?? face?.name ?? "";
    byId("file").setAttribute("aria-label", face ? "Choose another picture" : "Choose a picture of a face");
    if (!face) return;
    picture.alt = `The face ${face.id ?? face.name}`;
    const source = face.file ?? (await imageSource(face.id).catch(() => ""));
    if (face === this.#state.now.face) showPicture(picture, source);
  }

  /** No such face, or a format that only the server reads. */
  #showNoPicture() {
    byId("face-picture").hidden = true;
    byId("drop-words").hidden = false;
    byId("drop").classList.remove("full");
  }

  async #takeFile(file) {
    if (!file) return;
    byId("file").value = "";
    this.take({ file: await smallerPicture(file), name: file.name });
  }

  #listenToDrops() {
    const drop = byId("drop");
    const mark = (isOver) => (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      drop.classList.toggle("over", isOver);
    };
    document.addEventListener("dragover", mark(true));
    document.addEventListener("dragleave", mark(false));
    document.addEventListener("drop", (event) => {
      mark(false)(event);
      this.#takeFile(event.dataTransfer.files[0]);
    });
  }
}
