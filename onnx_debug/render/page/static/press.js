// A browser gives no click to an element that was drawn anew between press and release; what arrives in between waits.

/**
 * Calls work at once, or after the click where a pointer is pressed inside `root`.
 * @returns {{later: (work: () => void) => void, dispose: () => void}}
 */
export function whilePressed(root) {
    const waiting = [];
    let pressed = false;

    function release() {
        if (pressed) {
            pressed = false;
            setTimeout(() => pressed || waiting.splice(0).forEach((work) => work())); // the click comes first
        }
    }

    root.addEventListener('pointerdown', () => { pressed = true; });
    const ends = ['pointerup', 'pointercancel', 'blur'];
    ends.forEach((name) => window.addEventListener(name, release, true));
    return {
        later: (work) => (pressed || waiting.length ? waiting.push(work) : work()),
        dispose: () => ends.forEach((name) => window.removeEventListener(name, release, true)),
    };
}
