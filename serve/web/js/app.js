/** Starts the page: asks what is served, then shows what that can do. */

import { describe } from "./api.js";
import { byId, debounced, make } from "./dom.js";
import { EditTab } from "./edit_tab.js";
import { FaceCard } from "./face.js";
import { clearProblem, showProblem } from "./notices.js";
import { asAddress, fromAddress, QueryState } from "./query.js";
import { SearchTab } from "./search_tab.js";
import { Tabs } from "./tabs.js";
import { startTheme } from "./theme.js";
import { TransferTab } from "./transfer_tab.js";
import { TranslateTab } from "./translate_tab.js";
import { count } from "./words.js";

const ADDRESS_MS = 300;

startTheme(byId("theme"));
await start();

async function start() {
  try {
    show(await describe());
  } catch (problem) {
    showProblem("start", problem, start);
  }
}

function show(served) {
  clearProblem("start");
  const state = new QueryState();
  followAddress(state);
  const version = make("span", { id: "version" }, String(served.index_version));
  byId("facts").replaceChildren(`${count(served.rows, "face", "faces")} · model ${served.model} · index `, version);
  new FaceCard(state, served.examples);
  const offers = (verb) => served.methods.some(({ verbs }) => verbs.includes(verb));
  const tabs = { search: new SearchTab(state, served) };
  if (offers("edit")) tabs.edit = new EditTab(state, served);
  if (offers("transfer")) tabs.transfer = new TransferTab(state, served);
  if (offers("translate")) tabs.translate = new TranslateTab(state, served);
  new Tabs(state, tabs);
}

/** The address says what is asked, and going back asks what was asked before. */
function followAddress(state) {
  let isTaking = false;
  const take = () => {
    isTaking = true;
    const { query, lostPicture } = fromAddress(location.search);
    const isHere = lostPicture && state.now.face?.name === lostPicture;
    state.change(isHere ? { ...query, face: state.now.face } : query);
    isTaking = false;
    clearProblem("address");
    if (lostPicture && !isHere) {
      showProblem("address", {
        title: "The picture is not in the link.",
        detail: `It was made with “${lostPicture}”, which stays with whoever has it. Drop it here to ask the same.`,
      });
    }
  };
  const address = () => asAddress(state.now) || location.pathname;
  const write = debounced(() => history.replaceState(null, "", address()), ADDRESS_MS);
  take();
  addEventListener("popstate", take);
  state.addEventListener("change", ({ detail: { before } }) => {
    if (isTaking) return;
    const isNewQuestion = before.face !== state.now.face || before.tab !== state.now.tab;
    if (isNewQuestion) history.pushState(null, "", address());
    else write();
  });
}
