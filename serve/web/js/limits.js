/** Which faces may be found, and in which space. */

import { folding, make } from "./dom.js";
import { spaceInWords } from "./words.js";

const IDENTITY = "identity";

export class Limits {
  #state;

  constructor(state, served) {
    this.#state = state;
    const names = served.spaces.map((space) => space.name);
    this.space = make(
      "select",
      { id: "space", onchange: () => state.change({ space: this.space.value }) },
      names.map((name) => make("option", { value: name }, spaceInWords(name, names))),
    );
    this.where = make("input", {
      type: "text",
      id: "where",
      placeholder: `${served.labels.find((label) => label !== IDENTITY)} = 1`,
      list: "labels",
      autocomplete: "off",
      spellcheck: "false",
      "aria-describedby": "where-hint",
      onchange: () => state.change({ where: this.where.value.trim() }),
    });
    this.one = make("input", {
      type: "checkbox",
      id: "one",
      onchange: () => state.change({ onePerPerson: this.one.checked }),
    });
    this.element = folding(
      "Which faces",
      null,
      make("label", { for: "space" }, "Compare by"),
      this.space,
      served.labels.length > 0 && [
        make("label", { for: "where" }, "Only faces where"),
        this.where,
        make(
          "p",
          { class: "hint", id: "where-hint" },
          "Labels of the collection with = != < <= > >= in, and, or, not.",
        ),
      ],
      make(
        "datalist",
        { id: "labels" },
        served.labels.map((label) => make("option", { value: `${label} = ` })),
      ),
      served.labels.includes(IDENTITY) && make("label", { class: "check" }, this.one, "One picture of each person"),
    );
    state.addEventListener("change", () => this.show());
    this.show();
  }

  show() {
    const { space, where, onePerPerson } = this.#state.now;
    if (space) this.space.value = space;
    this.where.value = where;
    this.one.checked = onePerPerson;
  }
}
