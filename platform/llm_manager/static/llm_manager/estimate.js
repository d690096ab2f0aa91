// What a model would take with the load settings in the form, as one types: the server
// is asked a moment after the last change, and its answer takes the place of #lm-estimate.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const PAUSE_MS = 300;
  const source = document.querySelector("[data-estimate-url]");
  if (!source) return;
  const form = document.getElementById(source.dataset.estimateForm);
  let timer;
  let asked;

  const ask = async () => {
    asked?.abort();
    asked = new AbortController();
    let html = "";
    try {
      const response = await fetch(source.dataset.estimateUrl, {
        method: "POST",
        body: new FormData(form),
        signal: asked.signal,
      });
      if (response.ok && !response.redirected) html = await response.text();
    } catch (error) {
      if (error.name === "AbortError") return; // a later change has asked again
    }
    const answer = new DOMParser().parseFromString(html, "text/html");
    const fresh = answer.getElementById("lm-estimate");
    const old = document.getElementById("lm-estimate");
    if (fresh) old.replaceWith(document.importNode(fresh, true));
    else old.textContent = "The memory that this would take is not known: the server does not answer.";
  };

  const plan = (event) => {
    // Replicas start at once, and take memory as well.
    if (!event.target.closest(".lm-after-reload, [name=replicas]")) return;
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE_MS);
  };
  form.addEventListener("input", plan);
  form.addEventListener("change", plan);
});
