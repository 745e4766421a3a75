// Elements and text. Nothing here, or anywhere on the page, makes markup out of a value.

const SVG = "http://www.w3.org/2000/svg";

/** An element; a name that begins with "on" listens, null and false leave an attribute out. */
export function h(tag, attributes = {}, ...children) {
  return made(document.createElement(tag), attributes, children);
}

/** An element of SVG. */
export function s(tag, attributes = {}, ...children) {
  return made(document.createElementNS(SVG, tag), attributes, children);
}

function made(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Replace the children of parent, and keep the focus on the element with the same link or name. */
export function fill(parent, ...children) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const same = focused && (focused.getAttribute("href") ?? focused.getAttribute("name"));
  parent.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
  if (!focused || parent.contains(focused)) return;
  for (const element of parent.querySelectorAll("a, button, input, select")) {
    if (same && (element.getAttribute("href") ?? element.getAttribute("name")) === same) {
      element.focus();
      return;
    }
  }
}

let pressed = null; // while a pointer is down: a promise that release settles when it is up
let release = null;

addEventListener("pointerdown", ({ button }) => {
  if (!button) pressed ??= new Promise((resolve) => (release = resolve));
});
for (const name of ["pointerup", "pointercancel", "contextmenu", "blur"]) {
  addEventListener(name, () => {
    // After the click, which follows the release.
    setTimeout(() => {
      release?.();
      pressed = release = null;
    });
  });
}

/** Wait while a pointer is pressed: an element that is replaced between press and release is not clicked. */
export const released = () => pressed;

/** A button that puts text on the clipboard and says so. */
export function copyButton(text, what) {
  const button = h("button", { type: "button", class: "quiet", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it to copy";
    }
    say(button.textContent);
  });
  return button;
}

/** Tell a screen reader. */
export function say(text) {
  document.getElementById("said").textContent = text;
}
