/** A face with features of others. Shown where a method offers it. */

import { transfer } from "./api.js";
import { faceImage, openCollection, welcome } from "./collection.js";
import { Latest, make, showPicture } from "./dom.js";
import { clearProblem, showProblem } from "./notices.js";
import { transferQuestion } from "./query.js";
import { nameInWords } from "./words.js";

export class TransferTab {
  title = "Transfer";
  #state;
  #method;
  #examples;
  #references = {};
  #latest = new Latest();

  constructor(state, served) {
    [this.#state, this.#examples] = [state, served.examples];
    this.#method = served.methods.find(({ verbs }) => verbs.includes("transfer"));
    this.list = make("ul", { class: "likes" });
    this.controls = make(
      "section",
      { class: "card", "aria-labelledby": "transfer-title" },
      make("h2", { id: "transfer-title" }, "Take over"),
      this.list,
    );
    this.picture = make("img", { alt: "The face with the features of others", width: 256, height: 256, hidden: true });
    this.welcome = welcome({
      title: "Choose a face to change",
      examples: served.examples,
      onchoose: (id) => state.change({ face: { id } }),
    });
    this.result = make(
      "div",
      { class: "stack" },
      make("h2", {}, "With the features of others"),
      make("p", { class: "hint" }, "Choose whose each feature is to be."),
      this.picture,
    );
    this.stage = make("section", { "aria-label": "Face with features of others" }, this.welcome, this.result);
    state.addEventListener("change", ({ detail: { before } }) => before.face !== state.now.face && this.#show());
    this.#show();
  }

  /** A method's spaces are its features: METHOD.FEATURE. */
  get #features() {
    return this.#method.spaces.map((space) => space.slice(space.indexOf(".") + 1));
  }

  #show() {
    const { face } = this.#state.now;
    this.welcome.hidden = Boolean(face);
    this.result.hidden = this.controls.hidden = !face;
    this.list.replaceChildren(...this.#features.map((feature) => this.#row(feature)));
    this.#draw();
  }

  #row(feature) {
    const id = this.#references[feature];
    const words = nameInWords(feature);
    const choose = () => openCollection(this.#examples, (chosen) => this.#take(feature, chosen));
    return make(
      "li",
      {},
      id && faceImage(id, ""),
      make("span", { class: "name" }, id ? `${words} of ${id}` : words),
      make(
        "button",
        { type: "button", class: "small", "aria-label": `${words}: choose whose`, onclick: choose },
        "Choose",
      ),
      id &&
        make(
          "button",
          {
            type: "button",
            class: "quiet",
            "aria-label": `${words}: keep its own`,
            onclick: () => this.#take(feature, null),
          },
          "×",
        ),
    );
  }

  #take(feature, id) {
    const { [feature]: _, ...others } = this.#references;
    this.#references = id === null ? others : { ...others, [feature]: id };
    this.#show();
  }

  async #draw() {
    const { face } = this.#state.now;
    this.picture.hidden = !face || !Object.keys(this.#references).length;
    if (this.picture.hidden) return this.#latest.stop();
    try {
      const question = transferQuestion(face, this.#method.name, this.#references);
      const drawn = await this.#latest.run((signal) => transfer(question, signal));
      if (!drawn) return;
      clearProblem("transfer");
      showPicture(this.picture, drawn);
    } catch (problem) {
      showProblem("transfer", problem, () => this.#draw());
    }
  }
}
