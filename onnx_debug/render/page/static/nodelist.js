import { h } from './dom.js';

const SHOWN = 1500; // rows; the search box narrows the rest down

/** The graph as a list, where Netron cannot draw it. `nodes`: [name, operator, fqn, placeholder]. */
export function nodelist(host, problem, nodes, onClick) {
    const rows = h('ol.od-nodes', { 'aria-label': 'Nodes of the graph' });
    const search = h('input.od-search', { type: 'search', placeholder: 'Find a node', 'aria-label': 'Find a node', oninput: () => draw() });
    const note = h('p.od-note', { role: 'status' }, `The graph is shown as a list, because Netron could not draw it: ${problem}`);
    let selected = new Set();
    const draw = () => {
        const text = search.value.toLowerCase();
        const hits = nodes.filter((node) => !text || node.slice(0, 3).some((part) => part && part.toLowerCase().includes(text)));
        rows.replaceChildren(...hits.slice(0, SHOWN).map(([name, op, fqn, placeholder]) => {
            const classes = `${placeholder ? '.od-placeholder' : ''}${selected.has(name) ? '.od-selected' : ''}`;
            const button = h('button', { onclick: () => onClick(name) }, h('b', {}, op), ' ', name, ' ', h('code', {}, fqn ?? ''));
            return h(`li${classes}`, {}, button);
        }));
        if (hits.length > SHOWN) {
            rows.append(h('li', {}, `… and ${hits.length - SHOWN} more`));
        }
    };
    draw();
    const element = h('div.od-nodelist', {}, note, search, rows);
    host.replaceChildren(element);
    return {
        select(names) {
            selected = new Set(names);
            draw();
            const hit = rows.querySelector('.od-selected');
            if (hit) {
                hit.scrollIntoView({ block: 'nearest' });
            }
        },
    };
}
