/**
 * The focus is never lost: when what had it is gone from the page, the nearest thing around it that is still there and may
 * be focused gets it, at the last the page's heading; when it was only switched off meanwhile, it gets the focus back.
 */

/** Everything around an element that may be focused by a program, from the inside out. */
function around(element: Element): HTMLElement[] {
  const found: HTMLElement[] = [];
  for (let up = element.parentElement; up !== null; up = up.parentElement) {
    if (up.hasAttribute("tabindex")) found.push(up);
  }
  return found;
}

/** The heading of a page if it may be focused, else the page. */
function beginning(main: HTMLElement): HTMLElement {
  return main.querySelector<HTMLElement>("h1[tabindex]") ?? main;
}

/** Watch the focus from now on. */
export function keepFocus(): void {
  let last: HTMLElement | null = null;
  let places: readonly HTMLElement[] = [];
  addEventListener("focusin", ({ target }) => {
    if (!(target instanceof HTMLElement)) return;
    last = target;
    places = around(target);
  });
  const restore = () => {
    if (last === null || (document.activeElement !== null && document.activeElement !== document.body)) return;
    if (last.isConnected) {
      if (!last.matches(":disabled")) last.focus({ preventScroll: true });
      return;
    }
    const place = places.find((one) => one.isConnected) ?? document.getElementById("main");
    if (place === null) return;
    (place.id === "main" ? beginning(place) : place).focus({ preventScroll: true });
  };
  // What is still there was left on purpose: for the browser's own bar, by a touch on nothing.
  addEventListener("focusout", ({ target }) => {
    queueMicrotask(() => {
      if (target === last && last?.isConnected === true && !last.matches(":disabled")) last = null;
    });
  });
  new MutationObserver(restore).observe(document.body, {
    subtree: true,
    childList: true,
    attributes: true,
    attributeFilter: ["disabled"],
  });
}
