// Buttons that copy a text: data-copy names its element, data-copy-status is where the
// outcome is said, the one beside the button if there are several. Without permission for
// the clipboard, or without TLS, the text is selected instead, ready for the keyboard.
"use strict";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy);
  const say = (outcome) => {
    const beside = button.parentElement.querySelector("[data-copy-status]");
    (beside ?? document.querySelector("[data-copy-status]")).textContent = outcome;
  };
  try {
    await navigator.clipboard.writeText(text.textContent);
    say("Copied.");
  } catch {
    document.getSelection().selectAllChildren(text);
    say("Selected: press Ctrl+C (⌘C on a Mac).");
  }
});
