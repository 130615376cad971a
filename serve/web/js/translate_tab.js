/** A face drawn anew as a member of a domain. Shown where a method offers it. */

import { translate } from "./api.js";
import { make } from "./dom.js";
import { DrawnFace } from "./drawn_face.js";
import { translateQuestion } from "./query.js";
import { StyleChoice } from "./style_choice.js";

export class TranslateTab {
  title = "Translate";

  constructor(state, served) {
    const method = served.methods.find(({ verbs }) => verbs.includes("translate"));
    this.controls = new StyleChoice(state, method, served.examples).element;
    const drawn = new DrawnFace(state, served, {
      tab: "translate",
      title: "Choose a face to translate",
      words: {
        stage: "Translated face",
        before: "The face as the model draws it, untranslated",
        after: "The translated face",
      },
      above: make("p", { class: "hint" }, "Choose what the face is to become, and in whose style."),
      asked: ["domain", "style"],
      method: () => method.name,
      changed: ({ face, domain, style }, format, signal) =>
        domain ? translate(translateQuestion(face, method.name, domain, style, format), signal) : null,
      suffix: "translated",
    });
    this.stage = drawn.element;
  }
}
