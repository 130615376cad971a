/** A face with features of others. Shown where a method offers it. */

import { transfer } from "./api.js";
import { make } from "./dom.js";
import { DrawnFace } from "./drawn_face.js";
import { transferQuestion } from "./query.js";
import { TakeList } from "./take_list.js";

export class TransferTab {
  title = "Transfer";

  constructor(state, served) {
    const method = served.methods.find(({ verbs }) => verbs.includes("transfer"));
    this.controls = new TakeList(state, method, served.examples).element;
    const drawn = new DrawnFace(state, served, {
      tab: "transfer",
      title: "Choose a face to change",
      words: {
        stage: "Face with features of others",
        before: "The face as the model draws it, unchanged",
        after: "The face with the features of others",
      },
      above: make("p", { class: "hint" }, "Choose whose each feature is to be, and how much of it."),
      asked: ["take"],
      method: () => method.name,
      changed: ({ face, take }, format, signal) =>
        Object.keys(take).length ? transfer(transferQuestion(face, method.name, take, format), signal) : null,
      suffix: "changed",
    });
    this.stage = drawn.element;
  }
}
