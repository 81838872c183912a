// The module tree: ARIA tree with virtual rows, so that 5,000 modules cost as much as 30.
import { count, h } from './dom.js';

const ROW = 24; // pixels; the same in tree.css
const SPARE = 8; // rows drawn beyond the visible ones
const OPEN_WHOLE = 40; // a tree of fewer modules starts unfolded
export const MARKS = {
    'culprit': ['✗', 'culprit'],
    'contains a culprit': ['◔', 'contains'],
    'passes': ['✓', 'passes'],
    'stubbed': ['▣', 'stubbed'],
    'unresolved': ['?', 'unresolved'],
    'not tried': ['·', 'untried'],
};
let trees = 0;

/**
 * @param {HTMLElement} host
 * @param {(fqn: string) => void} onSelect
 */
export function tree(host, onSelect) {
    const id = `od-tree-${trees++}`;
    let rows = [];
    let states = {};
    let shown = []; // indices into rows, as folding and search leave them
    let position = new Map(); // fqn → index into rows
    const open = new Set();
    let active = 0; // index into shown: where the keyboard is
    let selected = null;
    let replaced = []; // by the user
    let typed = '';
    let typedAt = 0;

    const search = h('input.od-search', { type: 'search', placeholder: 'Search modules', 'aria-label': 'Search modules', 'aria-controls': id });
    const canvas = h('div.od-rows', { role: 'presentation' });
    const scroller = h('div.od-tree', { id, role: 'tree', tabindex: 0, 'aria-label': 'Modules of the model' }, canvas);
    const none = h('p.od-none', { hidden: true }, 'No module of that name.');
    const onlyCulprits = h('button.od-button.od-filter', { type: 'button', 'aria-pressed': 'false', title: 'Show only culprits', hidden: true, onclick() {
        onlyCulprits.setAttribute('aria-pressed', String(!filtered()));
        arrange();
    } }, '✗ only');
    const head = h('div.od-tree-head', { 'aria-hidden': true }, h('span', {}, 'module'), h('span', {}, 'parameters'));
    host.append(h('div.od-tree-bar', {}, search, onlyCulprits), head, none, scroller);

    const filtered = () => onlyCulprits.getAttribute('aria-pressed') === 'true';
    const stateOf = (row) => states[row.fqn] || 'not tried';
    const isPart = () => search.value !== '' || filtered();
    const isOpen = (row) => isPart() || open.has(row.fqn);

    function arrange() {
        const keep = shown[active];
        shown = isPart() ? found(search.value.toLowerCase()) : unfolded();
        active = Math.max(0, shown.indexOf(keep));
        none.hidden = shown.length > 0 || !rows.length;
        canvas.style.height = `${shown.length * ROW}px`;
        draw();
    }

    function unfolded() {
        const list = [];
        let hidden = Infinity; // depth below which rows are folded away
        rows.forEach((row, index) => {
            if (row.depth <= hidden) {
                list.push(index);
                hidden = row.children && !open.has(row.fqn) ? row.depth : Infinity;
            }
        });
        return list;
    }

    function found(text) {
        const keep = new Set();
        const path = []; // ancestors of the current row
        rows.forEach((row, index) => {
            path.length = row.depth;
            path.push(index);
            const named = row.fqn.toLowerCase().includes(text) || row.kind.toLowerCase().includes(text);
            if (named && (!filtered() || stateOf(row) === 'culprit')) {
                path.forEach((above) => keep.add(above));
            }
        });
        return [...keep].sort((a, b) => a - b);
    }

    function draw() {
        const first = Math.max(0, Math.floor(scroller.scrollTop / ROW) - SPARE);
        const last = Math.min(shown.length, Math.ceil((scroller.scrollTop + (scroller.clientHeight || 400)) / ROW) + SPARE);
        const wanted = [];
        for (let place = first; place < last; place++) {
            wanted.push(place);
        }
        if (active < first || active >= last) {
            wanted.push(active); // what aria-activedescendant names must exist
        }
        canvas.replaceChildren(...wanted.filter((place) => shown[place] !== undefined).map(element));
        if (shown.length) {
            scroller.setAttribute('aria-activedescendant', `${id}-${shown[active]}`);
        }
    }

    function element(place) {
        const row = rows[shown[place]];
        const state = stateOf(row);
        const [mark, name] = MARKS[state];
        const facts = [row.fqn || row.name, row.kind, state, `${count(row.parameters)} parameters`];
        facts.push(row.calls ? `called ${row.calls}×` : 'never called itself', ...(row.aliases.length ? [`also ${row.aliases.join(', ')}`] : []));
        const item = h('div.od-row', {
            id: `${id}-${shown[place]}`,
            role: 'treeitem',
            title: facts.join('\n'),
            'aria-label': `${row.name}, ${row.kind || 'model'}, ${state}`,
            'aria-level': row.depth + 1,
            'aria-selected': String(row.fqn === selected),
            'aria-expanded': row.children ? String(isOpen(row)) : null,
            dataset: { fqn: row.fqn, state: name },
            style: { top: `${place * ROW}px`, 'padding-left': `${6 + Math.min(row.depth, 12) * 14}px` },
        },
        h('span.od-fold', { 'aria-hidden': true }, row.children ? (isOpen(row) ? '▾' : '▸') : ''),
        h('span.od-mark', { 'aria-hidden': true }, state === 'culprit' && replaced.includes(row.fqn) ? '▣' : mark),
        h('span.od-name', {}, hit(row.name)),
        h('span.od-kind', {}, hit(row.kind)),
        h('span.od-count', {}, row.parameters ? count(row.parameters) : ''));
        item.classList.toggle('od-active', place === active);
        return item;
    }

    /** The text, with what was searched for marked in it. */
    function hit(text) {
        const at = search.value ? text.toLowerCase().indexOf(search.value.toLowerCase()) : -1;
        const end = at + search.value.length;
        return at < 0 ? text : [text.slice(0, at), h('mark.od-hit', {}, text.slice(at, end)), text.slice(end)];
    }

    function toggle(row, wanted) {
        if (row.children && !isPart()) {
            open[(wanted ?? !open.has(row.fqn)) ? 'add' : 'delete'](row.fqn);
            arrange();
        }
    }

    function move(place) {
        active = Math.max(0, Math.min(shown.length - 1, place));
        const top = active * ROW;
        if (top < scroller.scrollTop) {
            scroller.scrollTop = top;
        } else if (top + ROW > scroller.scrollTop + scroller.clientHeight) {
            scroller.scrollTop = top + ROW - scroller.clientHeight;
        }
        draw();
    }

    function choose(row) {
        selected = row.fqn;
        draw();
        onSelect(row.fqn);
    }

    function typeAhead(letter) {
        typed = Date.now() - typedAt > 700 ? letter : typed + letter;
        typedAt = Date.now();
        const from = typed.length === 1 ? active + 1 : active; // one letter again: the next of them
        for (let step = 0; step < shown.length; step++) {
            const place = (from + step) % shown.length;
            if (rows[shown[place]].name.toLowerCase().startsWith(typed.toLowerCase())) {
                return move(place);
            }
        }
        return undefined;
    }

    function parentOf(place) {
        const { depth } = rows[shown[place]];
        while (place > 0 && rows[shown[place]].depth >= depth) {
            place--;
        }
        return place;
    }

    scroller.addEventListener('keydown', (event) => {
        const row = rows[shown[active]];
        if (!row || event.ctrlKey || event.metaKey || event.altKey) {
            return;
        }
        const page = Math.max(1, Math.floor(scroller.clientHeight / ROW) - 1);
        const keys = {
            ArrowDown: () => move(active + 1),
            ArrowUp: () => move(active - 1),
            ArrowRight: () => (row.children && !isOpen(row) ? toggle(row, true) : row.children && move(active + 1)),
            ArrowLeft: () => (row.children && isOpen(row) && !isPart() ? toggle(row, false) : move(parentOf(active))),
            PageDown: () => move(active + page),
            PageUp: () => move(active - page),
            Home: () => move(0),
            End: () => move(shown.length - 1),
            Enter: () => choose(row),
            ' ': () => choose(row),
        };
        const act = Object.hasOwn(keys, event.key) ? keys[event.key] : event.key.length === 1 ? () => typeAhead(event.key) : null;
        if (act) {
            act();
            event.preventDefault();
            event.stopPropagation(); // the notebook has single-letter commands
        }
    });
    scroller.addEventListener('click', (event) => {
        const item = event.target.closest('.od-row');
        if (!item) {
            return;
        }
        active = shown.indexOf(position.get(item.dataset.fqn));
        const row = rows[shown[active]];
        if (event.target.classList.contains('od-fold')) {
            toggle(row);
        } else {
            choose(row);
        }
    });
    scroller.addEventListener('dblclick', (event) => {
        const item = event.target.closest('.od-row');
        if (item && !event.target.classList.contains('od-fold')) {
            toggle(rows[position.get(item.dataset.fqn)]);
        }
    });
    scroller.addEventListener('scroll', draw);
    search.addEventListener('input', arrange);
    search.addEventListener('keydown', (event) => {
        event.stopPropagation();
        if (event.key === 'ArrowDown' || event.key === 'Enter') {
            scroller.focus();
            event.preventDefault();
        }
    });
    const resized = new ResizeObserver(() => draw());
    resized.observe(scroller);

    function reveal(fqn) {
        const index = position.get(fqn);
        if (index === undefined) {
            return;
        }
        let { depth } = rows[index];
        for (let above = index - 1; above >= 0 && depth > 0; above--) {
            if (rows[above].depth < depth) {
                ({ depth } = rows[above]);
                open.add(rows[above].fqn);
            }
        }
        if (isPart() && !shown.includes(index)) {
            search.value = '';
            onlyCulprits.setAttribute('aria-pressed', 'false');
        }
        arrange();
        move(shown.indexOf(index));
    }

    return {
        setRows(next) {
            rows = next;
            position = new Map(rows.map((row, index) => [row.fqn, index]));
            open.clear();
            rows.filter((row) => rows.length <= OPEN_WHOLE || row.depth === 0).forEach((row) => open.add(row.fqn));
            active = 0;
            arrange();
        },
        setStates(next) {
            states = next;
            onlyCulprits.hidden = !Object.values(states).includes('culprit');
            if (onlyCulprits.hidden) {
                onlyCulprits.setAttribute('aria-pressed', 'false');
            }
            arrange();
        },
        setReplaced(next) {
            replaced = next;
            draw();
        },
        /** Select a module and bring it into sight, without telling `onSelect`. */
        select(fqn) {
            selected = fqn;
            reveal(fqn);
        },
        row: (fqn) => rows[position.get(fqn)],
        state: (fqn) => states[fqn] || 'not tried',
        dispose: () => resized.disconnect(),
    };
}
