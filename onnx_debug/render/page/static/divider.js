// A bar between two boxes: drag it, or move it with the arrow keys; a double click gives the box its own width back.
import { h } from './dom.js';

const STEP = 20; // pixels

/** The bar right of `box`, whose width it sets. */
export function divider(box, label) {
    const bar = h('div.od-divider', { role: 'separator', tabindex: 0, 'aria-orientation': 'vertical', 'aria-label': label });
    const set = (width) => {
        const most = box.parentElement.clientWidth * 0.7;
        box.style.width = `${Math.round(Math.max(120, Math.min(most, width)))}px`;
    };
    bar.addEventListener('pointerdown', (event) => {
        bar.setPointerCapture(event.pointerId);
        event.preventDefault();
    });
    bar.addEventListener('pointermove', (event) => bar.hasPointerCapture(event.pointerId) && set(event.clientX - box.getBoundingClientRect().left));
    bar.addEventListener('dblclick', () => box.style.removeProperty('width'));
    bar.addEventListener('keydown', (event) => {
        const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (way) {
            set(box.clientWidth + way * STEP);
            event.preventDefault();
            event.stopPropagation();
        }
    });
    return bar;
}
