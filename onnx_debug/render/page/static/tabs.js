// Tabs whose pages lie on one another: changing them moves nothing, and a hidden graph goes on loading.
import { h } from './dom.js';

let groups = 0;

/** @param {{name: string, label: string, element: HTMLElement}[]} pages */
export function tabs(pages, onShow = () => {}) {
    const group = `od-tabs-${groups++}`;
    const bar = h('div.od-tablist', { role: 'tablist', 'aria-label': 'Details' });
    const stack = h('div.od-pages');
    const entries = new Map();
    let current = null;
    let pinned = null;

    for (const { name, label, element } of pages) {
        const badge = h('span.od-badge', { hidden: true });
        const button = h('button.od-tab', {
            id: `${group}-${name}`, role: 'tab', type: 'button', 'aria-controls': `${group}-${name}-page`, onclick: () => show(name),
        }, label, badge);
        const page = h('div.od-page-in', { id: `${group}-${name}-page`, role: 'tabpanel', 'aria-labelledby': button.id }, element);
        entries.set(name, { button, page, badge });
        bar.append(button);
        stack.append(page);
    }

    function show(name) {
        current = name;
        for (const [other, { button, page }] of entries) {
            const chosen = other === name;
            button.setAttribute('aria-selected', String(chosen));
            button.tabIndex = chosen ? 0 : -1;
            page.classList.toggle('od-shown', chosen);
            page.inert = !chosen && other !== pinned;
        }
        onShow(name);
    }

    const first = () => [...entries.keys()].find((name) => !entries.get(name).button.hidden);

    bar.addEventListener('keydown', (event) => {
        const names = [...entries.keys()].filter((name) => !entries.get(name).button.hidden);
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (step) {
            const next = names[(names.indexOf(current) + step + names.length) % names.length];
            show(next);
            entries.get(next).button.focus();
            event.preventDefault();
            event.stopPropagation();
        }
    });

    return {
        bar,
        stack,
        show,
        current: () => current,
        badge(name, text) {
            const { badge } = entries.get(name);
            badge.textContent = text;
            badge.hidden = !text;
        },
        /** Show a page beside the others for good; null: none. */
        pin(name) {
            if (name === pinned) {
                return;
            }
            pinned = name;
            stack.classList.toggle('od-split', name !== null);
            for (const [other, { button, page }] of entries) {
                page.classList.toggle('od-pinned', other === name);
                if (other === name) {
                    button.hidden = true;
                } else if (name === null && page.dataset.wasPinned) {
                    button.hidden = false;
                }
                page.dataset.wasPinned = other === name ? 'yes' : '';
            }
            show(current === name ? first() : current);
        },
        reveal(name, visible) {
            entries.get(name).button.hidden = !visible;
            if (!visible && current === name) {
                show(first());
            }
        },
    };
}
