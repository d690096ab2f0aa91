// The copy button beside a new key's secret. Without permission for the clipboard,
// or without TLS, the secret is selected instead, ready for the keyboard.
"use strict";

(() => {
  const button = document.querySelector("[data-copy]");
  const secret = document.getElementById(button.dataset.copy);
  const say = (text) => {
    document.querySelector("[data-copy-status]").textContent = text;
  };

  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(secret.textContent);
      say("Copied.");
    } catch {
      document.getSelection().selectAllChildren(secret);
      say("Selected: press Ctrl+C (⌘C on a Mac).");
    }
  });
})();
