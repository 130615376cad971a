/** A face with other attributes. */

import { edit } from "./api.js";
import { make } from "./dom.js";
import { DrawnFace } from "./drawn_face.js";
import { editQuestion } from "./query.js";
import { editScale } from "./scales.js";
import { SliderPanel } from "./sliders.js";

export class EditTab {
  title = "Edit";
  #state;
  #methods;
  #usual;

  constructor(state, served) {
    this.#state = state;
    this.#methods = served.methods.filter(({ verbs }) => verbs.includes("edit"));
    // As the server's, where a question names none: that of the first space.
    this.#usual = this.#methods.find(({ name }) => name === served.spaces[0]?.method) ?? this.#methods[0];
    this.sliders = new SliderPanel({
      title: "Edits",
      scales: [editScale],
      onset: (kind, attribute, value) => state.set(kind, attribute, value),
      onreset: () => state.change({ edits: {} }),
    });
    this.controls = make("div", { class: "stack" }, this.#methodChoice(), this.sliders.element);
    const drawn = new DrawnFace(state, served, {
      tab: "edit",
      title: "Choose a face to edit",
      words: {
        stage: "Edited face",
        before: "The face as the model draws it, unedited",
        after: "The edited face",
      },
      above: this.sliders.chips,
      asked: ["edits", "method"],
      method: () => this.#method.name,
      changed: ({ face, edits }, format, signal) =>
        edit(editQuestion(face, this.#method.name, { edits }, format), signal),
      suffix: "edited",
    });
    this.stage = drawn.element;
    state.addEventListener("change", ({ detail: { before } }) => this.#follow(before));
    this.#offer();
    this.#show();
  }

  get #method() {
    return this.#methods.find(({ name }) => name === this.#state.now.method) ?? this.#usual;
  }

  #follow(before) {
    if (before.method !== this.#state.now.method) this.#offer();
    this.#show();
  }

  #offer() {
    this.sliders.offer(this.#method.attributes, () => ["edits"]);
  }

  #show() {
    const { now } = this.#state;
    this.sliders.show(now);
    this.sliders.element.hidden = !now.face;
  }

  #methodChoice() {
    const options = this.#methods.map(({ name }) => make("option", { value: name }, name.replaceAll("_", " ")));
    const choice = make(
      "select",
      { id: "method", onchange: () => this.#state.change({ method: choice.value, edits: {} }) },
      options,
    );
    choice.value = this.#method.name;
    return make(
      "section",
      { class: "card", hidden: options.length < 2 },
      make("label", { for: "method" }, "Method"),
      choice,
    );
  }
}
