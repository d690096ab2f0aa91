// Keeps parts of a page fresh without reloading it.
//
// <… data-live-url="…" data-live-seconds="2"> names where fresh HTML comes from.
// Each element with a data-live-key in the answer takes the place of the one with
// the same key on the page, if it differs. Nothing is fetched in a hidden tab, and
// nothing is replaced while the reader presses a button or selects text there.
"use strict";

(() => {
  const TIMEOUT_MS = 10000;
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
    answer.querySelectorAll("[data-live-key]").forEach(replace);
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
      if (state !== "signed out") timer = setTimeout(round, period);
    };

    document.addEventListener("visibilitychange", round);
    timer = setTimeout(round, period);
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-live-url]").forEach(keepFresh);
  });
})();
