// Keeps parts of a page fresh without reloading it.
//
// <… data-live-url="…" data-live-seconds="2"> names where fresh HTML comes from.
// Each element with a data-live-key in the answer takes the place of the one with
// the same key on the page, if it differs. Nothing is fetched in a hidden tab, and
// nothing is replaced while the reader presses a button or selects text there.
//
// While something in it carries data-live-busy, it is asked for every second. Buttons of
// the form #lm-action post without leaving the page: the answer is this page again, with
// what has changed and what there is to say. Another page, as a question, is shown.
"use strict";

(() => {
  const TIMEOUT_MS = 10000;
  const BUSY_MS = 1000;
  const shown = new Map();

  const status = (text) => {
    for (const element of document.querySelectorAll("[data-live-status]")) {
      if (element.textContent !== text) element.textContent = text;
      element.dataset.liveStatus = text;
    }
  };

  const isInUse = (element) => {
    if (element.querySelector(":active")) return true;
    const selection = document.getSelection();
    return Boolean(
      selection && !selection.isCollapsed && selection.containsNode(element, true),
    );
  };

  const replace = (fresh) => {
    const key = fresh.dataset.liveKey;
    const old = document.querySelector(`[data-live-key="${CSS.escape(key)}"]`);
    const html = fresh.outerHTML;
    if (!old || (shown.get(key) ?? old.outerHTML) === html || isInUse(old)) return;
    const focused = old.contains(document.activeElement) && document.activeElement.id;
    old.replaceWith(document.importNode(fresh, true));
    shown.set(key, html);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };

  const fill = (answer) => answer.querySelectorAll("[data-live-key]").forEach(replace);

  const pull = async (url) => {
    const response = await fetch(url, {
      credentials: "same-origin",
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    // An expired session is answered with a redirect to the login page.
    if (response.redirected || response.status === 403) return "signed out";
    if (!response.ok) return "not connected";
    const answer = new DOMParser().parseFromString(await response.text(), "text/html");
    fill(answer);
    return "live";
  };

  const keepFresh = (region) => {
    const period = Number(region.dataset.liveSeconds) * 1000;
    let timer;
    let pulling = false;

    const round = async () => {
      clearTimeout(timer);
      if (pulling) return;
      if (document.hidden) {
        status("paused");
        return; // visibilitychange goes on
      }
      pulling = true;
      let state = "not connected";
      try {
        state = await pull(region.dataset.liveUrl);
      } catch {
        // The server is away: say so and ask again.
      }
      pulling = false;
      status(state);
      if (state === "signed out") return;
      const isBusy = region.querySelector("[data-live-busy]");
      timer = setTimeout(round, isBusy ? Math.min(period, BUSY_MS) : period);
    };

    region.addEventListener("live:changed", round);

    document.addEventListener("visibilitychange", round);
    timer = setTimeout(round, period);
  };

  const say = (answer) => {
    const messages = answer.getElementById("messages");
    const place = document.getElementById("messages");
    if (messages && place) place.replaceWith(document.importNode(messages, true));
  };

  // As the browser would have done.
  const leave = (form, button) => {
    form.action = button.formAction;
    const field = document.createElement("input");
    [field.type, field.name, field.value] = ["hidden", button.name, button.value];
    form.append(field);
    form.submit();
  };

  const post = async (event) => {
    const { target: form, submitter: button } = event;
    event.preventDefault();
    // A disabled button would not be part of it.
    const body = new FormData(form, button);
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(button.formAction, {
        method: "POST",
        body,
        credentials: "same-origin",
      });
      const text = await response.text();
      const isHere = new URL(response.url).pathname === location.pathname;
      if (!response.ok || !isHere) {
        leave(form, button);
        return;
      }
      const answer = new DOMParser().parseFromString(text, "text/html");
      button.disabled = false;
      fill(answer);
      say(answer);
    } catch {
      status("not connected");
    }
    button.disabled = false;
    button.removeAttribute("aria-busy");
    for (const region of document.querySelectorAll("[data-live-url]")) {
      region.dispatchEvent(new Event("live:changed"));
    }
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-live-url]").forEach(keepFresh);
    document.addEventListener("submit", (event) => {
      const { target: form, submitter: button } = event;
      if (form.id === "lm-action" && button?.closest("[data-live-url]")) post(event);
    });
  });
})();
