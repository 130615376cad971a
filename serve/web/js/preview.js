/** The face that is looked for, drawn while sliders move. */

import { edit } from "./api.js";
import { byId, debounced, Latest, showPicture } from "./dom.js";
import { clearProblem, showProblem } from "./notices.js";
import { editQuestion } from "./query.js";

const PREVIEW_MS = 90;

export class Preview {
  #state;
  #served;
  #latest = new Latest();

  constructor(state, served) {
    [this.#state, this.#served] = [state, served];
    this.soon = debounced(() => this.#draw(), PREVIEW_MS);
    state.addEventListener("change", ({ detail: { before } }) => {
      if (["face", "space", "adjust", "tab"].some((name) => before[name] !== state.now[name])) this.soon();
    });
    this.soon();
  }

  get #method() {
    const { methods, spaces } = this.#served;
    const space = spaces.find(({ name }) => name === this.#state.now.space) ?? spaces[0];
    return methods.find(({ name, verbs }) => name === space?.method && verbs.includes("edit"));
  }

  async #draw() {
    const { face, adjust, tab } = this.#state.now;
    const method = this.#method;
    if (!face || !method || tab !== "search") {
      byId("preview").hidden = true;
      return this.#latest.stop();
    }
    const isAdjusted = Object.keys(adjust).length > 0;
    const question = editQuestion(face, method.name, { adjust });
    try {
      const drawn = await this.#latest.run((signal) => edit(question, signal));
      if (!drawn) return;
      clearProblem("preview");
      const picture = byId("preview-picture");
      byId("preview").hidden = false;
      showPicture(picture, drawn);
      picture.alt = isAdjusted
        ? "The face that is looked for, as the model draws it"
        : "The face as the model draws it";
      byId("preview-words").textContent = isAdjusted ? "what is looked for" : "as the model sees it";
    } catch (problem) {
      byId("preview").hidden = true;
      showProblem("preview", problem);
    }
  }
}
