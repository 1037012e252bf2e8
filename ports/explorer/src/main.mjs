/** The start: what the page carries is checked and shown; where it cannot be used, a toy is shown, and the reason. */

import { embeddedBundle, embeddedOrders, pytorchAnswers, toy } from "./embedded.mjs";
import { Head } from "./head.mjs";
import { Page } from "./page.mjs";
import { $, written } from "./words.mjs";

/** What the page carries; where that cannot be used, the toy or no answers, and why. */
async function load() {
  const orders = embeddedOrders();
  let head;
  try {
    head = new Head({ ...(await embeddedBundle()), orders });
  } catch (error) {
    const pytorch = { settings: [], note: "PyTorch's answers belong to the bundle, which cannot be used." };
    const problem = `The bundle in this page cannot be used: ${error.message}. A toy model with four tokens is shown instead.`;
    return { head: new Head({ ...toy(), orders }), pytorch, problem };
  }
  try {
    return { head, pytorch: pytorchAnswers(head), problem: "" };
  } catch (error) {
    return {
      head,
      pytorch: { settings: [], note: `PyTorch's answers in this page are damaged: ${error.message}.` },
      problem: "",
    };
  }
}

async function start() {
  const { head, pytorch, problem } = await load();
  const page = new Page(head, pytorch);
  written("notice", problem);
  $("notice").classList.toggle("problem", problem !== "");
  page.restore();
  $("explorer").dataset.ready = "yes";
}

start();
